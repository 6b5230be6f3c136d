"""Copy as Python: the lines that draw a face through the Python API."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facelab.errors import BadArgument
from facelab.jobs import GeneratorInfo
from facelab.latent.code import Code, Floats, seed_to_z
from facelab.latent.recipe import Recipe
from facelab.latent.spaces import psi_by_layer

_WIDTH = 110  # of a line of base64


def as_python(recipe: Recipe, info: GeneratorInfo) -> str:
    """Lines of Python that draw a recipe: ``pixels``, uint8 [H, W, 3], in the end.

    Codes that come from seeds are written as such, others as their numbers. The steps are those of `Recipe`: blend, truncation,
    directions, noise, transform.

    Raises:
        BadArgument: the recipe needs what the API does not take: a tuned generator, or the optimised noise of several faces.
    """
    if recipe.tuning is not None:
        raise BadArgument("a face of a tuned generator cannot be written as lines of Python; save the face as a file")
    shares = _shares(recipe, info.num_ws)
    used = [i for i in range(len(recipe.sources)) if np.any(shares[i])]
    codes = [recipe.sources[i] for i in used]
    shares = shares[used]
    maps = next((c.noise for c in codes if c.noise is not None), None) if recipe.noise.mode == "own" else None
    if maps is not None and len(codes) > 1:
        raise BadArgument(
            "the optimised noise of several faces cannot be written as lines of Python; set the noise to constant"
        )
    where = "" if info.path is None else repr(Path(info.path).as_posix())
    body = [f"g = facelab.open({where})"]
    names = [f"w{i}" for i in range(len(codes))]
    for name, code in zip(names, codes, strict=True):
        body += _code(name, code)
    if len(codes) == 1:
        body.append(f"ws = {names[0]}.copy()")
    else:
        body.append(f"shares = np.array({_rows(shares)}, np.float32)  # of each face in each layer")
        body.append(f'ws = np.einsum("sl,slc->lc", shares, np.stack([{", ".join(names)}]))')
    psi = psi_by_layer(recipe.psi, info.num_ws, recipe.cutoff)
    if np.any(psi != 1):
        value = _number(float(psi[0])) if np.all(psi == psi[0]) else f"np.array({_row(psi)}, np.float32)[:, None]"
        body.append(f"ws = g.w_avg + {value} * (ws - g.w_avg)")
    for use in recipe.directions:
        if use.amount:
            first, last = use.layers or use.direction.layers or (0, info.num_ws)
            body += _array("direction", use.direction.vector, f"  # {_plain(use.direction.name)}")
            rows = "direction" if use.direction.vector.ndim == 1 else f"direction[{first}:{last}]"
            body.append(
                f"ws[{first}:{last}] += {_number(use.amount)} * {_number(use.direction.sigma)} * {rows}  # sigmas, sigma"
            )
    options = _noise(recipe, maps, body)
    if recipe.transform is not None:
        move = recipe.transform
        body.append(
            f"transform = np.array({recipe.transform.matrix().tolist()})  # {move.x:g}, {move.y:g}, {move.degrees:g}°"
        )
        options.append("transform=transform")
    body.append(f"pixels = g.render({', '.join(['ws[None]', *options])})[0]  # uint8 [H, W, 3]")
    text = "\n".join(body)
    packed = "= array(" in text
    head = ["import base64", "import zlib", ""] if packed else []
    head += ["import facelab", "import numpy as np"]
    if packed:
        head += [
            "",
            "",
            "def array(text, *shape):",
            '    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<f4").reshape(shape)',
            "",
        ]
    return "\n".join([*head, "", *body, ""])


def _shares(recipe: Recipe, num_ws: int) -> Floats:
    table = np.stack([np.broadcast_to(np.asarray(w, np.float32), (num_ws,)) for w in recipe.weights])
    total = table.sum(0)
    if np.any(np.abs(total) < 1e-6):
        raise BadArgument("the weights of a layer sum to zero; raise one of them")
    return np.asarray(table / total, np.float32)


def _code(name: str, code: Code) -> list[str]:
    """A code as W+ under a name."""
    seed = code.origin.get("seed")
    if code.space == "z":
        label = "" if code.label is None else f", np.eye(g.c_dim)[[{code.label}]]"
        if type(seed) is int and np.array_equal(code.array, seed_to_z(seed, code.array.size)):
            return [f"{name} = g.map(np.random.RandomState({seed}).randn(1, g.z_dim){label})[0]  # [num_ws, w_dim]"]
        return [*_array("z", code.array), f"{name} = g.map(z[None]{label})[0]"]
    lines = _array(name, code.array)
    return lines if code.space == "w+" else [*lines, f"{name} = np.tile({name}, (g.num_ws, 1))"]


def _array(name: str, array: Floats, comment: str = "") -> list[str]:
    packed = base64.b64encode(zlib.compress(array.astype("<f4").tobytes(), 9)).decode("ascii")
    lines = [packed[i : i + _WIDTH] for i in range(0, len(packed), _WIDTH)]
    shape = ", ".join(map(str, array.shape))
    lines = [f'    "{line}"' for line in lines]
    lines[-1] += ","
    return [f"{name} = array({comment}", *lines, f"    {shape},", ")"]


def _noise(recipe: Recipe, maps: Sequence[Floats] | None, body: list[str]) -> list[str]:
    """The arguments that tell of the noise; the code's own maps go into the body."""
    options = []
    if maps is not None:
        body.append("noise = []")
        for one in maps:
            body += _array("one", one)
            body.append("noise.append(one)")
        options.append("noise=noise")
    elif recipe.noise.mode == "none":
        options.append('noise_mode="none"')
    elif recipe.noise.mode == "seed":
        options.append(f"noise_mode={recipe.noise.seed}")
    strength = recipe.noise.strength
    if set(strength) != {1.0}:
        value = _number(strength[0]) if len(strength) == 1 else _row(strength)
        options.append(f"noise_strength={value}")
    return options


def _number(value: float) -> str:
    return f"{value:.7g}"


def _row(values: Sequence[float] | Floats) -> str:
    return f"[{', '.join(_number(float(v)) for v in values)}]"


def _rows(table: Floats) -> str:
    return f"[{', '.join(_row(row) for row in table)}]"


def _plain(text: str) -> str:
    """A name inside a comment: one line, nothing that ends it."""
    return "".join(c if c.isprintable() else " " for c in text)[:80]
