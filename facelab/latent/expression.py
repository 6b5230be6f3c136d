"""Arithmetic on faces, typed as an expression: ``lsb5 + 2/3*(trixie - firkus)``.

The language: numbers; faces by name, quoted where the name is not one word (``'me in 1987'``), or by seed (``seed(7)``);
``+ - * / **`` and brackets; ``mean(a, b, ...)``, ``lerp(a, b, 1.4)``, ``slerp(a, b, 0.5)``; layers, ``a[0:4] + b[4:]``,
``a[3]``, ``a[coarse]``. Python's own parser reads it and a walker over the tree computes it; nothing is ever run.

Everything is computed in W+. Each value knows how many faces it is worth in each layer (its weight): a face is worth 1, a
difference 0, the sum of two faces 2. What is not worth 1 in every layer lies off the faces that the generator knows, and
`Result.note` says so.
"""

from __future__ import annotations

import ast
import keyword
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument
from facelab.latent.code import Floats, frozen
from facelab.latent.path import slerp

MAX_TEXT = 2000
MAX_NODES = 500
MAX_DEPTH = 60


class ExpressionError(BadArgument):
    """An expression cannot be read or computed.

    Attributes:
        position: the character, counted from 0, where the trouble begins; at most the length of the text.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.position = position


@dataclass(frozen=True, eq=False)
class _Face:
    """A value in W+: rows [L, C] and what they are worth [L]."""

    rows: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]


_Value: TypeAlias = float | _Face


@dataclass(frozen=True, eq=False)
class Result:
    """What an expression comes to.

    Attributes:
        ws: the code, [L, C].
        weight: how many faces it is worth in each layer, [L].
    """

    ws: Floats
    weight: Floats

    @property
    def note(self) -> str:
        """A sentence for a result that is not worth one face in every layer; else ""."""
        away = np.abs(self.weight - 1) > 1e-3
        if not away.any():
            return ""
        layer = int(away.argmax())
        where = "" if away.all() and np.ptp(self.weight) < 1e-3 else f" in layer {layer}"
        return f"the shares of the faces sum to {self.weight[layer]:.3g}{where}, not to 1: the result lies off what the generator knows"


@dataclass(frozen=True)
class Expression:
    """An expression that was read.

    Attributes:
        text: as it was typed.
        names: the faces that it names, each once, in order.
        seeds: the seeds that it names.
    """

    text: str
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    _tree: ast.expr = field(repr=False, compare=False)

    def evaluate(
        self,
        faces: Mapping[str, npt.ArrayLike],
        seeds: Mapping[int, npt.ArrayLike] | None = None,
        *,
        num_ws: int,
        groups: Mapping[str, range] | None = None,
    ) -> Result:
        """Compute it.

        Args:
            faces: each of ``names``, as W [C] or W+ [L, C].
            seeds: each of ``seeds``, likewise.
            num_ws: L.
            groups: names of layers for ``a[coarse]``, as ``spaces.layer_groups`` gives them.

        Raises:
            ExpressionError: a face is missing or does not fit, kinds do not go together, a number is not finite.
        """
        walker = _Walker(self.text, faces, seeds or {}, num_ws, groups or {})
        value = walker.value(self._tree)
        if not isinstance(value, _Face):
            raise walker.error("this is a number; an expression comes to a face", self._tree)
        with np.errstate(over="ignore"):
            ws = value.rows.astype(np.float32)
        if not np.isfinite(ws).all():
            raise walker.error("this comes to numbers that are too large", self._tree)
        return Result(frozen(ws), frozen(value.weight))


# -- reading --------------------------------------------------------------------------------------------------------------------
_ARGUMENTS: dict[str, tuple[int, int]] = {"mean": (1, 64), "lerp": (3, 3), "slerp": (3, 3), "seed": (1, 1)}


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: it is not one; its position says where.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression has at most {MAX_TEXT} characters", MAX_TEXT)
    if not text.strip():
        raise ExpressionError("type an expression, such as a + 0.5*(b - c)", 0)
    # Every white space counts as a blank, so that all stands in one line; characters keep their places.
    line = "".join(" " if c.isspace() else c for c in text)
    first = len(line) - len(line.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own remarks on odd literals
            tree = ast.parse(line[first:], mode="eval").body
    except SyntaxError as error:
        position = first + max((error.offset or 1) - 1, 0)
        raise ExpressionError(f"this cannot be read: {_reason(error)}", min(position, len(text))) from None
    except (ValueError, MemoryError, RecursionError):
        bad = next((i for i, c in enumerate(text) if c == "\0" or "\ud800" <= c <= "\udfff"), 0)
        raise ExpressionError("this cannot be read", bad) from None
    reader = _Reader(text, line, first)
    reader.check(tree, 0)
    end = reader.place(tree.end_col_offset or 0)
    if "#" in line[end:]:
        raise ExpressionError("this cannot be read", line.index("#", end))
    return Expression(text, tuple(reader.names), tuple(reader.seeds), reader.shifted(tree))


def _reason(error: SyntaxError) -> str:
    return {"'(' was never closed": "a bracket is not closed"}.get(error.msg, "something is missing or too much here")


class _Reader:
    """Checks a tree against the language, and puts names and places right."""

    def __init__(self, text: str, line: str, first: int) -> None:
        self.text, self.first = text, first
        self.bytes = line[first:].encode("utf-8")
        self.names: dict[str, None] = {}
        self.seeds: dict[int, None] = {}
        self.nodes = 0

    def place(self, offset: int) -> int:
        """The character of a place that Python counts in bytes."""
        return self.first + len(self.bytes[:offset].decode("utf-8", "ignore"))

    def error(self, message: str, node: ast.expr) -> ExpressionError:
        return ExpressionError(message, self.place(node.col_offset))

    def check(self, node: ast.expr, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise self.error("the expression is too long or too deep; compute a part of it first", node)
        match node:
            case ast.Constant(value=bool() | None | complex() | bytes()):
                raise self.error("this is neither a number nor a face", node)
            case ast.Constant(value=int() | float() as value):
                if not _finite(value):
                    raise self.error("this number is too large", node)
            case ast.Constant(value=str() as name):
                self.names[name] = None
            case ast.Name():
                # As typed: Python's parser would turn some letters into others.
                node.id = self.text[self.place(node.col_offset) : self.place(node.end_col_offset or 0)]
                self.names[node.id] = None
            case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
                self.check(operand, depth + 1)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow(), right=right):
                # A long sum is deep on its left side only, and is not what the limit is meant for.
                self.check(left, depth + (not isinstance(left, ast.BinOp)))
                self.check(right, depth + 1)
            case ast.Subscript(value=value, slice=part):
                self.check(value, depth + 1)
                self._check_layers(part, node)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                self._check_call(name, args, node, depth)
            case _:
                raise self.error("this is not part of the language of faces", node)

    def _check_call(self, name: str, args: Sequence[ast.expr], node: ast.Call, depth: int) -> None:
        if name not in _ARGUMENTS:
            raise self.error(f"there is no function {name!r}; there are {', '.join(_ARGUMENTS)}", node)
        least, most = _ARGUMENTS[name]
        if not least <= len(args) <= most:
            raise self.error(
                f"{name} takes {least if least == most else f'{least} to {most}'} values, not {len(args)}", node
            )
        if name == "seed":
            match args[0]:
                case ast.Constant(value=int() as seed) if type(seed) is int and seed < 2**32:
                    self.seeds[seed] = None
                case other:
                    raise self.error(f"a seed is a whole number from 0 to {2**32 - 1}", other)
            return
        for arg in args:
            self.check(arg, depth + 1)

    def _check_layers(self, part: ast.expr, node: ast.expr) -> None:
        ends = [part.lower, part.upper, part.step] if isinstance(part, ast.Slice) else [part]
        if isinstance(part, ast.Name):
            return
        if isinstance(part, ast.Slice) and part.step is not None:
            raise self.error("layers are given as [first:last + 1]", part.step)
        for end in ends:
            if end is not None and _whole(end) is None:
                raise self.error("a layer is a whole number", end)

    def shifted(self, tree: ast.expr) -> ast.expr:
        """The tree, with every place counted in characters of the whole text."""
        for node in ast.walk(tree):
            if isinstance(node, ast.expr):
                node.col_offset = self.place(node.col_offset)
        return tree


def _whole(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=int() as number) if type(number) is int and number < 1000:
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)) if (
            type(number) is int and number < 1000
        ):
            return -number
    return None


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


# -- computing ------------------------------------------------------------------------------------------------------------------
class _Walker:
    """Computes a checked tree."""

    def __init__(
        self,
        text: str,
        faces: Mapping[str, npt.ArrayLike],
        seeds: Mapping[int, npt.ArrayLike],
        num_ws: int,
        groups: Mapping[str, range],
    ) -> None:
        self.text, self.faces, self.seeds, self.num_ws, self.groups = text, faces, seeds, num_ws, groups
        self.width: int | None = None

    def error(self, message: str, node: ast.expr) -> ExpressionError:
        return ExpressionError(message, node.col_offset)

    def value(self, node: ast.expr) -> _Value:
        """A checked value: numbers are finite, rows are finite and of one shape."""
        with np.errstate(all="ignore"):
            result = self._value(node)
        finite = math.isfinite(result) if isinstance(result, float) else np.isfinite(result.rows).all()
        if not finite:
            raise self.error("this comes to a number that is not finite", node)
        return result

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=str() as name):
                return self._face(self.faces.get(name), f"there is no face {name!r}", node)
            case ast.Constant(value=number):
                return float(number)  # type: ignore[arg-type]
            case ast.Name(id=name):
                return self._face(self.faces.get(name), f"there is no face {name!r}", node)
            case ast.UnaryOp(op=op, operand=operand):
                value = self.value(operand)
                return self._scaled(value, -1.0) if isinstance(op, ast.USub) else value
            case ast.BinOp():
                return self._sum(node)
            case ast.Subscript(value=inner, slice=part):
                return self._layers(self.value(inner), part, node)
            case ast.Call(func=ast.Name(id="seed"), args=[ast.Constant(value=int() as seed)]):
                return self._face(self.seeds.get(seed), f"seed {seed} is not at hand", node)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, args, node)
        raise AssertionError(f"the reader let {node!r} through")

    def _face(self, array: npt.ArrayLike | None, otherwise: str, node: ast.expr) -> _Face:
        if array is None:
            raise self.error(otherwise, node)
        rows = np.asarray(array, np.float64)
        if rows.ndim == 1:
            rows = np.broadcast_to(rows, (self.num_ws, rows.size))
        if rows.ndim != 2 or len(rows) != self.num_ws or self.width not in (None, rows.shape[1]):
            raise self.error("this face belongs to another generator", node)
        self.width = rows.shape[1]
        return _Face(rows, np.ones(self.num_ws))

    def _sum(self, node: ast.BinOp) -> _Value:
        # A long sum is a deep tree to the left; it is walked without going deeper.
        chain: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            chain.append(left)
            left = left.left
        value = self.value(left)
        for step in reversed(chain):
            value = self._binary(value, step.op, self.value(step.right), step)
            finite = math.isfinite(value) if isinstance(value, float) else np.isfinite(value.rows).all()
            if not finite:
                raise self.error("this comes to a number that is not finite", step)
        return value

    def _binary(self, a: _Value, op: ast.operator, b: _Value, node: ast.BinOp) -> _Value:
        match op, a, b:
            case ast.Add(), _Face(), _Face():
                return _Face(a.rows + b.rows, a.weight + b.weight)
            case ast.Sub(), _Face(), _Face():
                return _Face(a.rows - b.rows, a.weight - b.weight)
            case ast.Mult(), _Face(), float():
                return self._scaled(a, b)
            case ast.Mult(), float(), _Face():
                return self._scaled(b, a)
            case ast.Div(), _, float():
                if b == 0:
                    raise self.error("this divides by zero", node.right)
                return self._scaled(a, 1 / b) if isinstance(a, _Face) else a / b
            case ast.Add(), float(), float():
                return a + b
            case ast.Sub(), float(), float():
                return a - b
            case ast.Mult(), float(), float():
                return a * b
            case ast.Pow(), float(), float():
                return self._power(a, b, node)
            case ((ast.Add() | ast.Sub()), _, _):
                raise self.error("a face and a number cannot be added; multiply, or add a face", node.right)
            case ast.Mult(), _, _:
                raise self.error("two faces cannot be multiplied; one of the two has to be a number", node.right)
            case ast.Div(), _, _:
                raise self.error("only a number can be divided by", node.right)
        raise self.error("only a number can be raised to a power, and by a number", node.right)

    def _power(self, a: float, b: float, node: ast.BinOp) -> float:
        try:
            result = a**b
        except (OverflowError, ZeroDivisionError):
            result = math.inf
        if isinstance(result, complex) or not math.isfinite(result):
            raise self.error("this power is not a finite number", node.right)
        return float(result)

    @staticmethod
    def _scaled(value: _Value, factor: float) -> _Value:
        if isinstance(value, float):
            return value * factor
        return _Face(value.rows * factor, value.weight * factor)

    def _layers(self, value: _Value, part: ast.expr, node: ast.expr) -> _Face:
        if not isinstance(value, _Face):
            raise self.error("a number has no layers", node)
        chosen = self._range(part)
        rows, weight = np.zeros_like(value.rows), np.zeros_like(value.weight)
        rows[chosen], weight[chosen] = value.rows[chosen], value.weight[chosen]
        return _Face(rows, weight)

    def _range(self, part: ast.expr) -> slice:
        if isinstance(part, ast.Name):
            if part.id not in self.groups:
                known = f"; there are {', '.join(self.groups)}" if self.groups else ""
                raise self.error(f"there is no group of layers {part.id!r}{known}", part)
            group = self.groups[part.id]
            return slice(group.start, group.stop)
        if isinstance(part, ast.Slice):
            first = self._layer(part.lower, 0, self.num_ws)
            last = self._layer(part.upper, self.num_ws, self.num_ws)
            return slice(first, last)
        layer = self._layer(part, 0, self.num_ws - 1)
        return slice(layer, layer + 1)

    def _layer(self, node: ast.expr | None, otherwise: int, most: int) -> int:
        number = None if node is None else _whole(node)
        if node is None or number is None:
            return otherwise
        if not -self.num_ws <= number <= most:
            raise self.error(f"this generator has the layers 0 to {self.num_ws - 1}", node)
        return number + self.num_ws if number < 0 else number

    def _call(self, name: str, args: Sequence[ast.expr], node: ast.expr) -> _Value:
        values = [self.value(arg) for arg in args]
        if name == "mean":
            return self._mean(values, args)
        a, b, t = values
        if not isinstance(t, float):
            raise self.error(f"the third value of {name} is a number: how far from the first to the second", args[2])
        if isinstance(a, float) and isinstance(b, float) and name == "lerp":
            return a + t * (b - a)
        for value, arg in ((a, args[0]), (b, args[1])):
            if not isinstance(value, _Face):
                raise self.error(f"{name} goes from one face to another; this is a number", arg)
        assert isinstance(a, _Face)
        assert isinstance(b, _Face)
        weight = a.weight + t * (b.weight - a.weight)
        rows = a.rows + t * (b.rows - a.rows) if name == "lerp" else slerp(a.rows, b.rows, t).astype(np.float64)
        return _Face(rows, weight)

    def _mean(self, values: Sequence[_Value], args: Sequence[ast.expr]) -> _Value:
        for value, arg in zip(values, args, strict=True):
            if isinstance(value, float) != isinstance(values[0], float):
                raise self.error("a mean is of faces or of numbers, not of both", arg)
        share = 1 / len(values)
        faces = [v for v in values if isinstance(v, _Face)]
        if not faces:
            return sum(v for v in values if isinstance(v, float)) * share
        return _Face(np.mean([v.rows for v in faces], 0), np.mean([v.weight for v in faces], 0))


def distance_in_sigmas(ws: npt.ArrayLike, w_avg: npt.ArrayLike, w_std: float) -> float:
    """How far a code lies from the mean face, in units of a typical face's distance: about 1 for the generator's own faces.

    Args:
        ws: [..., C].
        w_avg: [C].
        w_std: root mean square deviation of W in one channel (``GeneratorInfo.w_std``).
    """
    if not (math.isfinite(w_std) and w_std > 0):
        raise BadArgument("the deviation of W is a positive number")
    away = np.asarray(ws, np.float64) - np.asarray(w_avg, np.float64)
    return float(np.sqrt(np.mean(away**2)) / w_std)


def quoted(name: str) -> str:
    """A face's name as it is typed in an expression: bare where it is one word, else in quotes."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else repr(name)
