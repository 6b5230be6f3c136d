"""A recipe as lines of Python that draw it through facelab's API: to be read, changed and run without the window.

The lines need numpy, facelab and Pillow. They give the window's own pixels: the same numbers in the same order of operations as
`Recipe.ws`. What a seed gives is written as the seed; other codes and directions stand in the lines, as packed text.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np

from facelab.errors import BadArgument
from facelab.latent.code import Code, Floats, seed_to_z
from facelab.latent.recipe import Recipe, broadcast

MOST_NOISE = 400_000  # numbers of noise that lines can hold: 1 MB of text
WIDTH = 110  # of a line of packed text


def as_python(
    recipe: Recipe,
    *,
    num_ws: int,
    w_dim: int,
    path: str | None = None,
    noise: Sequence[Floats] | None = None,
    title: str = "",
) -> str:
    """The lines.

    Args:
        recipe: what they draw.
        num_ws, w_dim: of its generator.
        path: of the generator's file; None is the embedded one.
        noise: the maps that the recipe is drawn with, where its noise is a code's own (mode "own"), as ``Resolve`` gives them.
        title: said in a comment at the top.

    Raises:
        BadArgument: the recipe needs what the API cannot give: a tuned generator, or more noise than lines can hold.
    """
    if recipe.tuning is not None:
        raise BadArgument(
            "this face was drawn with a generator that was tuned to its photograph, which lines of Python cannot open"
        )
    own = recipe.noise.mode == "own" and any(code.noise for code in recipe.sources)
    if own and noise is None:
        raise BadArgument("give the noise maps that this face is drawn with")
    if own and noise is not None and sum(n.size for n in noise) > MOST_NOISE:
        raise BadArgument(
            "the noise of this face is too much for lines of Python; save it as .face.safetensors, or set its noise to constant first"
        )
    writer = _Writer(recipe, num_ws, w_dim)
    body = [*writer.codes(), *writer.truncation(), *writer.directions()]
    call = ["ws"]
    if own and noise is not None:
        body += ["", "# the noise that was found with the face, one map per layer"]
        body.append("noise = [")
        for one in noise:
            *lines, last = writer.packed(one)
            body += [*(f"    {line}" for line in lines), f"    {last},"]
        body.append("]")
        call.append("noise=noise")
    elif recipe.noise.mode == "none":
        call.append('noise_mode="none"')
    elif recipe.noise.mode == "seed":
        call.append(f"noise_mode={recipe.noise.seed}")
    if set(recipe.noise.strength) != {1.0}:
        strength = recipe.noise.strength
        call.append(f"noise_strength={_number(strength[0]) if len(strength) == 1 else _numbers(strength)}")
    if recipe.transform is not None:
        body += ["", f"transform = {recipe.transform.matrix().tolist()}  # by which the picture moves, 1 is its width"]
        call.append("transform=transform")
    opened = "facelab.open()" if path is None else f"facelab.open({path!r})"
    imports = [
        *(["import base64", "import zlib", ""] if writer.packs else []),
        "import numpy as np",
        "from PIL import Image",
        "",
    ]
    imports += ["import facelab", *(["from facelab.latent.spaces import blend"] if writer.blends else [])]
    helper = [
        "", "", "def unpack(shape, text):", '    """float32 of packed text."""',
        '    return np.frombuffer(zlib.decompress(base64.b85decode(text)), "<f4").reshape(shape)', "",
    ]  # fmt: skip
    head = [f"# {_line(title)}"] if title else []
    lines = [
        *head, *imports, *(helper if writer.packs else []), "", f"g = {opened}",
        f'assert g.sha256 == "{recipe.generator}", "another generator than the one that drew this face"', "", *body, "",
        f"pixels = g.render({', '.join(call)})  # uint8 [1, H, W, 3]", 'Image.fromarray(pixels[0]).save("face.png")',
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


class _Writer:
    """Writes the parts in order, and remembers what they need."""

    def __init__(self, recipe: Recipe, num_ws: int, w_dim: int) -> None:
        self.recipe, self.num_ws, self.w_dim = recipe, num_ws, w_dim
        self.packs = self.blends = False  # whether the lines need ``unpack`` and ``blend``

    # -- codes --
    def codes(self) -> list[str]:
        """The code ``ws`` [1, L, C] before truncation."""
        sources = self.recipe.sources
        weights = np.stack([np.broadcast_to(np.asarray(w, np.float32), (self.num_ws,)) for w in self.recipe.weights])
        if len(sources) == 1:
            return self._code("ws", sources[0])
        used = [i for i in range(len(sources)) if weights[i].any()]
        names = {i: chr(ord("a") + n) if n < 20 else f"face{n}" for n, i in enumerate(used)}
        lines = [line for i in used for line in self._code(names[i], sources[i])]
        if (np.count_nonzero(weights, axis=0) != 1).any():
            self.blends = True
            rows = [f"    {_numbers(weights[i].tolist())},  # {names[i]}" for i in used]
            together = ", ".join(names[i] for i in used)
            return [
                *lines, "", "# how much of each face in each layer; blend brings the shares of a layer to a sum of 1",
                "weights = np.float32([", *rows, "])", f"ws = blend(np.concatenate([{together}]), weights)[None]",
            ]  # fmt: skip
        owner = [names[int(i)] for i in np.abs(weights).argmax(0)]
        lines += ["", f"ws = {owner[0]}.copy()"]
        start = 0
        for layer in range(1, self.num_ws + 1):
            if layer == self.num_ws or owner[layer] != owner[start]:
                if owner[start] != owner[0]:
                    lines.append(f"ws[:, {start}:{layer}] = {owner[start]}[:, {start}:{layer}]")
                start = layer
        return lines

    def _code(self, name: str, code: Code) -> list[str]:
        """Lines that give a code as [1, L, C] under a name."""
        if code.space == "z":
            z, label = self._z(code), ""
            if code.label is not None:
                label = f", np.eye(g.c_dim)[[{code.label}]]"
            return [*z[:-1], f"{name} = g.map({z[-1]}{label})"]
        lines = self.packed(code.array)
        if code.space == "w":
            return [f"w = {lines[0]}", *lines[1:], f"{name} = np.repeat(w[None, None], g.num_ws, axis=1)"]
        broadcast(code.array, self.num_ws, self.w_dim)  # refused here, not when the lines run
        return [f"{name} = {lines[0]}", *lines[1:-1], f"{lines[-1]}[None].copy()"]

    def _z(self, code: Code) -> list[str]:
        """Lines of which the last is the expression of z, [1, Z]."""
        seed = code.origin.get("seed")
        if type(seed) is int and 0 <= seed < 2**32 and np.array_equal(code.array, seed_to_z(seed, code.array.size)):
            return [f"np.random.RandomState({seed}).randn(1, g.z_dim)"]
        places = np.flatnonzero(code.array)
        if len(places) <= 1:
            lines = ["z = np.zeros((1, g.z_dim), np.float32)"]
            lines += [f"z[0, {i}] = {_number(float(code.array[i]))}" for i in places]
            return [*lines, "z"]
        packed = self.packed(code.array)
        return [f"z = {packed[0]}", *packed[1:], "z[None]"]

    # -- what is done with them --
    def truncation(self) -> list[str]:
        """psi by layer, as `spaces.truncate` does it."""
        psi, cutoff = self.recipe.psi, self.recipe.cutoff
        if len(psi) == 1:
            psi = tuple(psi[0] if cutoff is None or layer < cutoff else 1.0 for layer in range(self.num_ws))
        if set(psi) == {1.0}:
            return []
        if len(set(psi)) == 1:
            return ["", f"ws = g.w_avg + np.float32({_number(psi[0])}) * (ws - g.w_avg)  # truncation psi"]
        return [
            "", f"psi = np.float32({_numbers(psi)})  # truncation psi by layer",
            "ws = g.w_avg + psi[:, None] * (ws - g.w_avg)",
        ]  # fmt: skip

    def directions(self) -> list[str]:
        """Each direction's step in its layers."""
        lines: list[str] = []
        for use in self.recipe.directions:
            if not use.amount:
                continue
            direction = use.direction
            first, last = use.layers or direction.layers or (0, self.num_ws)
            broadcast(direction.vector, self.num_ws, self.w_dim)  # refused here, not when the lines run
            packed = self.packed(direction.vector)
            rows = f"[{first}:{last}]" if direction.vector.ndim == 2 else ""
            lines += [
                "",
                f"# {_line(direction.name)}: by {use.amount:g} sigmas",
                f"direction = {packed[0]}",
                *packed[1:],
            ]
            factor = f"np.float32({_number(use.amount)} * {_number(direction.sigma)})"
            lines.append(f"ws[:, {first}:{last}] += direction{rows} * {factor}")
        return lines

    def packed(self, array: Floats) -> list[str]:
        """Lines of an expression that gives an array back, float32, bit for bit; the last one is the closing bracket."""
        self.packs = True
        text = base64.b85encode(zlib.compress(np.ascontiguousarray(array, "<f4").tobytes(), 9)).decode("ascii")
        pieces = [text[i : i + WIDTH] for i in range(0, len(text), WIDTH)]
        return [f"unpack({array.shape},", *(f"    {piece!r}" for piece in pieces), ")"]


def _number(value: float) -> str:
    """A number that reads back as the same float."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(_number(float(v)) for v in values) + "]"


def _line(text: str) -> str:
    """A text that a comment can hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
