"""Expressions: what they come to, and where they go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facelab.latent.code import Floats
from facelab.latent.expression import (
    MAX_TEXT,
    ExpressionError,
    Result,
    distance_in_sigmas,
    parse,
    quoted,
)
from facelab.latent.path import slerp

L, C = 6, 8
_numbers = np.random.RandomState(0)
FACES = {
    name: _numbers.randn(*shape).astype(np.float32)
    for name, shape in (
        ("lsb5", (L, C)), ("trixie", (L, C)), ("firkus", (C,)), ("a", (L, C)), ("b", (L, C)), ("c", (L, C)), ("w_avg", (C,)),
        ("me in 1987", (L, C)), ("Ängström", (L, C)), ("it's", (L, C)), ("mean", (L, C)), ("ﬁ", (L, C)),
    )
}  # fmt: skip
SEEDS = {7: np.ones(C, np.float32), 0: np.zeros(C, np.float32)}
GROUPS = {"coarse": range(4), "fine": range(4, 6)}


def run(text: str) -> Result:
    return parse(text).evaluate(FACES, SEEDS, num_ws=L, groups=GROUPS)


def outcome(text: str) -> tuple[Result | None, ExpressionError | None]:
    try:
        return run(text), None
    except ExpressionError as error:
        return None, error


def face(name: str) -> Floats:
    return np.broadcast_to(FACES[name], (L, C))


def rows(start: int, stop: int, value: Floats) -> Floats:
    out = np.zeros((L, C), np.float32)
    out[start:stop] = value[start:stop]
    return out


A, B = face("a"), face("b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lsb5 + 2/3*(trixie - firkus)", face("lsb5") + 2 / 3 * (face("trixie") - face("firkus"))),
        ("  a ", A),
        ("+a", A),
        ("-a + 2*b", 2 * B - A),
        ("a*1.4 - .4*b", 1.4 * A - 0.4 * B),
        ("(a + b)/2", (A + B) / 2),
        ("mean(a, b, c)", (A + B + face("c")) / 3),
        ("lerp(a, b, 1.4)", A + 1.4 * (B - A)),
        ("lerp(a, b, lerp(0, 1, mean(.5, .5)))", (A + B) / 2),
        ("slerp(a, b, 0.3)", slerp(A, B, 0.3)),
        ("a[0:4] + b[4:]", rows(0, 4, A) + rows(4, L, B)),
        ("a[:2] + b[2:-1] + c[-1]", rows(0, 2, A) + rows(2, 5, B) + rows(5, 6, face("c"))),
        ("a[coarse] + b[fine]", rows(0, 4, A) + rows(4, L, B)),
        ("a + 2*(b - c)[1:3]", A + rows(1, 3, 2 * (B - face("c")))),
        ("seed(7)*0.5 + seed(0)", np.full((L, C), 0.5)),
        ("'me in 1987'", face("me in 1987")),
        ('"it\'s"', face("it's")),
        ("Ängström", face("Ängström")),
        ("ﬁ", face("ﬁ")),
        ("mean", face("mean")),
        ("mean(mean, a)", (face("mean") + A) / 2),
        ("w_avg + 0.7*(a - w_avg)", face("w_avg") + 0.7 * (A - face("w_avg"))),
        ("a\n  + (b -\n c)", A + B - face("c")),
        ("a * 2**-1 + a/2", A),
        ("-2**2*a + 5*a", A),
    ],
)
def test_that_arithmetic_is_as_written(text: str, expected: Floats) -> None:
    result = run(text)
    np.testing.assert_allclose(result.ws, expected, rtol=1e-5, atol=1e-6)
    assert result.ws.dtype == np.float32
    assert not result.ws.flags.writeable


def test_that_a_face_alone_comes_through_bit_for_bit() -> None:
    np.testing.assert_array_equal(run("a").ws, A)
    np.testing.assert_array_equal(run("a[0:4] + a[4:]").ws, A)


def test_that_an_expression_tells_the_faces_that_it_needs() -> None:
    expression = parse("lerp(a, 'me in 1987', 2) + seed(7) - seed(7) + a[coarse] - mean(b, seed(9))")
    assert expression.names == ("a", "me in 1987", "b")
    assert expression.seeds == (7, 9)


@pytest.mark.parametrize(
    ("text", "weight", "says"),
    [
        ("a", [1] * L, ""),
        ("a + b - c", [1] * L, ""),
        ("mean(a, b) + (a - b)[1]", [1] * L, ""),
        ("a - b", [0] * L, "sum to 0,"),
        ("a + b", [2] * L, "sum to 2,"),
        ("a[0:4]", [1, 1, 1, 1, 0, 0], "in layer 4"),
        ("lerp(a + b, a, 0.5)", [1.5] * L, "1.5"),
    ],
)
def test_that_a_result_knows_how_many_faces_it_is_worth(text: str, weight: list[float], says: str) -> None:
    result = run(text)
    np.testing.assert_allclose(result.weight, weight)
    assert (result.note == "") == (says == "")
    assert says in result.note


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "type an expression"),
        ("   ", 0, "type an expression"),
        ("a + ", 4, "cannot be read"),
        ("(a + b", 0, "bracket is not closed"),
        ("a b", 0, "cannot be read"),
        ("a + dixie", 4, "no face 'dixie'"),
        ("  a + 'no one'", 6, "no face 'no one'"),
        ("Ängström + é", 11, "no face 'é'"),
        ("a + 1", 4, "cannot be added"),
        ("1 - a", 4, "cannot be added"),
        ("a * b", 4, "cannot be multiplied"),
        ("a / b", 4, "only a number can be divided by"),
        ("a / (1 - 1)", 5, "divides by zero"),
        ("a ** 2", 5, "raised to a power"),
        ("2 ** a", 5, "raised to a power"),
        ("a * 9.0**9**9", 9, "power"),
        ("a * (-1)**0.5", 10, "power"),
        ("a * 0**-1", 7, "power"),
        ("1 + 1", 0, "a number; an expression comes to a face"),
        ("a * 1e308 * 10", 0, "not finite"),
        ("a + 1e39*a", 0, "too large"),
        ("a * 1e999", 4, "too large"),
        ("a * " + "9" * 400, 4, "too large"),
        ("3[0]", 0, "no layers"),
        ("a[7]", 2, "layers 0 to 5"),
        ("a[6]", 2, "layers 0 to 5"),
        ("a[0:7]", 4, "layers 0 to 5"),
        ("a[-7:]", 2, "layers 0 to 5"),
        ("a[0:4:2]", 6, "[first:last + 1]"),
        ("a[0.5]", 2, "whole number"),
        ("a[b:]", 2, "whole number"),
        ("a[middle]", 2, "no group of layers 'middle'; there are coarse, fine"),
        ("a[1, 2]", 2, "whole number"),
        ("exec('x')", 0, "no function 'exec'"),
        ("__import__('os')", 0, "no function '__import__'"),
        ("a.shape", 0, "language of faces"),
        ("(lambda: a)()", 0, "language of faces"),
        ("[a for a in b]", 0, "language of faces"),
        ("a if b else c", 0, "language of faces"),
        ("a, b", 0, "language of faces"),
        ("a == b", 0, "language of faces"),
        ("a @ b", 0, "language of faces"),
        ("~a", 0, "language of faces"),
        ("(a := b)", 1, "language of faces"),
        ("f'{a}'", 0, "language of faces"),
        ("b'a'", 0, "neither"),
        ("a * True", 4, "neither"),
        ("a * 1j", 4, "neither"),
        ("mean()", 0, "mean takes 1 to 64 values, not 0"),
        ("lerp(a, b)", 0, "lerp takes 3 values, not 2"),
        ("lerp(a, b, c)", 11, "third value of lerp is a number"),
        ("lerp(a, 1, 2)", 8, "this is a number"),
        ("slerp(1, 2, 3)", 6, "this is a number"),
        ("mean(a, 1)", 8, "not of both"),
        ("mean(*a)", 5, "language of faces"),
        ("lerp(a, b, t=1)", 0, "language of faces"),
        ("seed(a)", 5, "a seed is a whole number"),
        ("seed(-1)", 5, "a seed is a whole number"),
        ("seed(True)", 5, "a seed is a whole number"),
        ("seed(3)", 0, "seed 3 is not at hand"),
        ("a # b", 2, "cannot be read"),
        ("a; b", 1, "cannot be read"),
        ("a\0", 1, "cannot be read"),
        ("a + \ud800", 4, "cannot be read"),
        ("a" * (MAX_TEXT + 1), MAX_TEXT, "at most"),
        ("a" + "+a" * 600, 0, "too long or too deep"),
    ],
)
def test_that_an_error_says_what_is_wrong_and_where(text: str, position: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        run(text)
    assert says in str(caught.value)
    if len(text) < 1000 and "cannot be read" not in says and "too long" not in says:
        assert caught.value.position == position
    assert 0 <= caught.value.position <= len(text)


def test_that_a_long_sum_is_computed() -> None:
    result = run("a" + " + b - b" * 100)
    np.testing.assert_allclose(result.ws, A, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 1990 + "a",
        "(" * 90 + "a" + ")" * 90,
        "a" + "[0:]" * 400,
        "2" + "**2" * 500 + "*a",
        "mean(" * 100 + "a" + ")" * 100,
    ],
)
def test_that_what_is_too_deep_is_refused(text: str) -> None:
    # Brackets alone are no depth.
    assert (outcome(text)[1] is None) == text.startswith("(")


_WORDS = st.sampled_from(
    ["a", "b", "c", "'me in 1987'", "seed(7)", "mean(", "lerp(", "slerp(", ")", "(", "[", "]", ":", "+", "-", "*", "/", "**", ",", " ",
     "1", "0.5", "2", "1e300", "0", "coarse", "#", "\n", "é", "'", "x", "lambda", ".", "\\", "=", "9" * 40, "1e-300"]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(_WORDS, max_size=30).map("".join) | st.text(max_size=60))
@example("a if")
@example("'\\ud800'")
@example("\x1c a")
def test_that_every_text_comes_to_a_face_or_to_an_error_with_a_place(text: str) -> None:
    came, error = outcome(text)
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert "\n" not in str(error)
    else:
        assert came is not None
        assert came.ws.shape == (L, C)
        assert np.isfinite(came.ws).all()


@st.composite
def _sound(draw: st.DrawFn, depth: int = 0) -> tuple[str, Floats]:
    """A text and what it comes to, computed beside the walker."""
    name = draw(st.sampled_from(["a", "b", "c", "lsb5", "firkus"]))
    if depth > 3 or draw(st.booleans()):
        return name, face(name).astype(np.float64)
    left, x = draw(_sound(depth + 1))
    right, y = draw(_sound(depth + 1))
    t = round(draw(st.floats(-2, 2)), 3)
    return draw(
        st.sampled_from([
            (f"({left} + {right})", x + y), (f"({left} - {right})", x - y), (f"{t}*({left})", t * x), (f"({right})*{t}", y * t),
            (f"lerp({left}, {right}, {t})", x + t * (y - x)), (f"mean({left}, {right})", (x + y) / 2), (f"-({left})", -x),
            (f"({left})[0:{L}]", x), (f"({left})[2:4]", rows(2, 4, x)),
        ])
    )  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(_sound())
def test_that_sound_expressions_come_to_what_numpy_says(case: tuple[str, Floats]) -> None:
    text, expected = case
    np.testing.assert_allclose(run(text).ws, expected, rtol=1e-4, atol=1e-4)


@given(st.text(min_size=1, max_size=20))
def test_that_any_name_can_be_typed(name: str) -> None:
    expression = parse(quoted(name))
    assert expression.names == (name,)


def test_that_faces_of_another_generator_are_refused() -> None:
    expression = parse("a + b - c")
    with pytest.raises(ExpressionError, match="another generator"):
        expression.evaluate({"a": A, "b": A[:4], "c": A}, num_ws=L)
    with pytest.raises(ExpressionError, match="another generator"):
        expression.evaluate({"a": A, "b": A[:, :4], "c": A}, num_ws=L)
    with pytest.raises(ExpressionError, match="not finite"):
        expression.evaluate({"a": A, "b": A * np.nan, "c": A}, num_ws=L)


def test_that_a_typical_face_lies_one_sigma_from_the_mean() -> None:
    w_avg = np.arange(512.0)
    ws = w_avg + 3 * np.random.RandomState(0).randn(18, 512)
    assert distance_in_sigmas(ws, w_avg, 3.0) == pytest.approx(1, rel=0.02)
    assert distance_in_sigmas(w_avg, w_avg, 3.0) == 0
