"""Files of latent codes: facelab's own .face.safetensors, and the arrays that people exchange.

No code of a file ever runs: .npy and .npz are read without pickle, .pt and .pkl by the reader of checkpoints.
The face file is specified in docs/formats.md.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from facelab.checkpoints.latents import read_arrays
from facelab.errors import AmbiguousLatent, BadArgument, LatentError, WrongGenerator
from facelab.files import replacing
from facelab.jobs import read_only
from facelab.latent.code import Code, Floats
from facelab.latent.recipe import Recipe

FACE_FORMAT = "facelab.face"
FACE_VERSION = "1"
SUFFIXES = (".face.safetensors", ".npz", ".npy", ".pt")
MAX_BYTES = 512 << 20  # of a file of latents: a thousand steps of a run in W+ are 37 MB
MAX_NUMBERS = 1 << 27

# The names under which files in circulation keep their codes, the surest first.
_KEYS = ("ws", "w", "w+", "wplus", "dlatents", "dlatent", "projected_w", "latents", "latent", "Latent", "code", "z")
# Those that tell the space; "w" is given to codes in W+ as well.
_SPACES = {"z": "z", "ws": "w+", "w+": "w+", "wplus": "w+"}
# Rows of W+ that generators have: 2 log2(r) - 2 for 16 to 1024 px; StyleGAN3's 16 among them.
_ROWS = (6, 8, 10, 12, 14, 16, 18)


# -- facelab's own ------------------------------------------------------------------------------------------------------
def write_face(path: Path, recipe: Recipe, code: Code) -> None:
    """Write a face: the recipe, and the W+ code and noise that it draws.

    Args:
        path: ends in .safetensors.
        recipe: how the face is made.
        code: what `recipe` works out to, in W+; with its noise where the recipe uses that.

    Raises:
        ExportError: it cannot be written; nothing half-written is left.
    """
    tensors = {"ws": np.asarray(code.array, np.float32)}
    tensors |= {f"noise.{i}": np.asarray(n, np.float32) for i, n in enumerate(code.noise or ())}
    kept = recipe
    if _carries_noise(recipe, code):
        # The same maps are not written twice; `read_face` puts them back.
        kept = recipe.change(sources=(_with_noise(recipe.sources[0], None),))
    fields = {
        "format": FACE_FORMAT,
        "version": FACE_VERSION,
        "generator": recipe.generator,
        "recipe": kept.to_json(),
    }
    data = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, fields)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read_face(path: Path) -> tuple[Recipe, Code]:
    """The recipe of a face file, and the W+ code that it draws.

    Raises:
        LatentError: it is missing, damaged, of a newer version, or no face file.
    """
    _check_size(path)
    try:
        with safe_open(path, framework="numpy") as file:
            fields = dict(file.metadata() or {})
            if fields.get("format") != FACE_FORMAT:
                raise LatentError(f"{path.name!r} is not a face saved by facelab; open it as what it is")
            if fields.get("version") != FACE_VERSION:
                raise LatentError(
                    f"{path.name!r} has version {fields.get('version', 'none'):.20} of the face format, this facelab reads "
                    f"{FACE_VERSION}; update facelab"
                )
            names = set(file.keys())
            if "ws" not in names or names != {"ws", *(f"noise.{i}" for i in range(len(names) - 1))}:
                raise LatentError(f"{path.name!r} is damaged: it lacks its code; save the face again")
            arrays = {name: file.get_tensor(name) for name in names}
        if any(a.dtype != np.float32 for a in arrays.values()) or arrays["ws"].ndim != 2:
            raise LatentError(f"{path.name!r} is damaged: its code is not float32 [L, C]; save the face again")
        recipe = Recipe.from_json(fields.get("recipe", ""))
        noise = tuple(arrays[f"noise.{i}"] for i in range(len(names) - 1)) or None
        code = Code(
            array=arrays["ws"], space="w+", generator=recipe.generator, origin=recipe.sources[0].origin, noise=noise
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadArgument):
            raise LatentError(f"{path.name!r} is damaged: {error}") from error
        raise LatentError(f"{path.name!r} is damaged or cut off; copy it again or choose another file") from error
    if noise is not None and recipe.noise.mode == "own" and all(c.noise is None for c in recipe.sources):
        recipe = recipe.change(sources=(_with_noise(recipe.sources[0], noise), *recipe.sources[1:]))
    return recipe, code


def _carries_noise(recipe: Recipe, code: Code) -> bool:
    """Whether the code's noise is that of the recipe's only source."""
    own = recipe.sources[0].noise
    return (
        len(recipe.sources) == 1
        and own is not None
        and code.noise is not None
        and all(np.array_equal(a, b) for a, b in zip(own, code.noise, strict=True))
    )


def _with_noise(code: Code, noise: Sequence[Floats] | None) -> Code:
    return Code(
        array=code.array,
        space=code.space,
        generator=code.generator,
        origin=code.origin,
        noise=None if noise is None else tuple(noise),
        label=code.label,
    )


# -- the arrays that people exchange ------------------------------------------------------------------------------------
def load_latents(path: str | os.PathLike[str], space: str | None = None) -> Floats:
    """The codes of a file, whatever wrote it: float32 [N, L, C] (W+) or [N, C] (W or Z), read-only.

    Args:
        path: .face.safetensors, .npz, .npy, .pt or .pkl, or the JSON lines of older encoders; told apart by contents.
        space: "w+", "w" or "z" settles an array [n, C] that could be one W+ code of n rows or n codes; without it, n of
            6, 8, 10 ... 18 is read as one W+ code.

    Raises:
        LatentError: the file is missing, damaged, asks for code to be run, or holds no codes.
        AmbiguousLatent: it holds several arrays of which none is named as a code.
        BadArgument: ``space`` is none of those.
    """
    _check_space(space)
    path = Path(path)
    array, named = _codes(path)
    space = space or named
    if array.ndim == 2 and (space == "w+" or (space is None and array.shape[0] in _ROWS)):
        array = array[None]
    elif array.ndim == 3 and space in ("w", "z"):
        array = _one_row(array, space, path.name)
    return read_only(array)


def _check_space(space: str | None) -> None:
    if space not in (None, "w+", "w", "z"):
        raise BadArgument(f"space must be 'w+', 'w' or 'z', not {space!r}")


def _codes(path: Path, name: str | None = None) -> tuple[Floats, str | None]:
    """The array of codes in a file, finite float32 [n, C] or [N, L, C], and the space that its name tells."""
    array, key = _numbers(arrays_of(path), path.name, name)
    while array.ndim > 3 and 1 in array.shape[:-2]:
        array = array.squeeze(next(i for i, n in enumerate(array.shape[:-2]) if n == 1))
    if array.ndim == 1:
        array = array[None]
    if array.ndim not in (2, 3) or array.size == 0:
        raise LatentError(f"{path.name!r} holds an array of the shape {list(array.shape)}, which is no code")
    if not np.isfinite(array).all():
        raise LatentError(f"{path.name!r} holds numbers that are not finite")
    return array, _SPACES.get(key)


def _one_row(array: Floats, space: str, name: str) -> Floats:
    """[N, L, C] -> [N, C], where that loses nothing."""
    if array.shape[1] != 1 and not (space == "w" and (array == array[:, :1]).all()):
        raise LatentError(f"{name!r} holds codes in W+, of {array.shape[1]} rows each; read it as 'w+'")
    return array[:, 0]


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by name ("" where it has none), whatever wrote it; no code of the file runs.

    Raises:
        LatentError: the file is missing, damaged, or asks for code to be run.
    """
    _check_size(path)
    return read_arrays(path)


def codes_of(
    path: Path,
    generator: str,
    num_ws: int,
    w_dim: int,
    z_dim: int,
    space: str | None = None,
    array: str | None = None,
) -> tuple[Code, ...]:
    """The codes of a file as faces of a generator.

    Args:
        path: as of `load_latents`.
        generator: its identity.
        num_ws, w_dim, z_dim: what its codes look like.
        space: "w+", "w" or "z", for a file whose codes can be read in several.
        array: which array is meant, for a file of several.

    Raises:
        LatentError: as of `load_latents`, or the codes do not fit the generator.
        AmbiguousLatent: they can be read as one code in W+ or several in W, as W or as Z, or there are several arrays.
        WrongGenerator: the file says that they belong to another one.
    """
    if _is_face(path):
        _, code = read_face(path)
        _check_generator(path, code.generator, generator)
        return (code,)
    _check_space(space)
    belongs = arrays_of(path).get("generator")
    if belongs is not None and belongs.dtype.kind == "U" and belongs.size == 1:
        _check_generator(path, str(belongs.reshape(-1)[0]), generator)
    found, named = _codes(path, array)
    count, width = found.shape[-2:]
    fits = {"w+": (count, width) == (num_ws, w_dim), "w": width == w_dim, "z": width == z_dim}
    if found.ndim == 3:
        fits |= {"w": fits["w"] and count == 1, "z": fits["z"] and count == 1}
    elif fits["w+"] and (found == found[:1]).all():
        fits = {"w+": True}  # the same row for each layer: one code in W, laid out
    fitting = [one for one, fit in fits.items() if fit]
    if not fitting:
        raise LatentError(
            f"{path.name!r} holds codes of the shape {list(found.shape)}, which do not fit this generator: it takes "
            f"[{num_ws}, {w_dim}] in W+, [{w_dim}] in W, [{z_dim}] in Z"
        )
    wanted = space or (named if named in fitting else None)
    if wanted is None and len(fitting) > 1:
        several = f"one code in W+ or {count} codes" if "w+" in fitting else "codes"
        raise AmbiguousLatent(
            f"{path.name!r} holds {list(found.shape)} and does not say whether that is {several} in "
            f"{' or in '.join(one.upper() for one in fitting if one != 'w+')}; choose one",
            tuple(fitting),
        )
    wanted = wanted or fitting[0]
    if wanted == "w" and found.ndim == 3:
        found = _one_row(found, "w", path.name)
    elif wanted not in fitting:
        raise LatentError(f"{path.name!r} holds {list(found.shape)}, which is no code in {wanted.upper()} here")
    elif found.ndim == 3 and wanted == "z":
        found = found[:, 0]
    elif found.ndim == 2 and wanted == "w+":
        found = found[None]
    return tuple(
        Code(array=one, space=wanted, generator=generator, origin={"file": path.name, "index": i})  # type: ignore[arg-type]
        for i, one in enumerate(found)
    )


def _check_generator(path: Path, named: str, generator: str) -> None:
    if named != generator:
        raise WrongGenerator(
            f"{path.name!r} belongs to another generator ({named:.12}) than the one that is open; open that one first"
        )


def write_latents(path: Path, recipes: Sequence[Recipe], codes: Sequence[Code]) -> None:
    """Write W+ codes; the suffix of the path is the format: one of ``SUFFIXES``.

    A face file holds one face with its recipe; .npz holds ``w`` [N, L, C], ``generator`` and ``recipes``; .npy and .pt the
    bare array [N, L, C].

    Raises:
        BadArgument: another suffix, or several faces for a face file.
        ExportError: it cannot be written; nothing half-written is left.
    """
    name = path.name.lower()
    if name.endswith(".safetensors"):
        if len(codes) != 1:
            raise BadArgument("a face file holds one face; write several to .npz")
        write_face(path, recipes[0], codes[0])
        return
    if not name.endswith(SUFFIXES):
        raise BadArgument(f"cannot tell the format of {path.name!r}; end its name in {', '.join(SUFFIXES)}")
    if len({c.array.shape for c in codes}) != 1:
        raise BadArgument("these faces belong to generators of different shapes; write them to files of their own")
    array = np.stack([c.array for c in codes])
    # Into memory first: none of the three writers says in a usable way why a disk refused.
    data = io.BytesIO()
    if name.endswith(".npy"):
        np.save(data, array, allow_pickle=False)
    elif name.endswith(".npz"):
        recipe_texts = np.array([r.to_json() for r in recipes])
        np.savez(data, w=array, generator=np.array(recipes[0].generator), recipes=recipe_texts)
    else:
        import torch  # only a caller that drew these codes gets here, so it is loaded; the desk never does

        torch.save(torch.from_numpy(array), data)
    with replacing(path) as temporary:
        temporary.write_bytes(data.getbuffer())


def _is_face(path: Path) -> bool:
    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("format") == FACE_FORMAT
    except (SafetensorError, OSError, ValueError):
        return False


def _check_size(path: Path) -> int:
    try:
        if path.is_dir():
            raise LatentError(f"{path.name!r} is a folder; choose the file in it")
        if not path.is_file():
            raise LatentError(f"{path.name!r} is not there; it may have been moved or renamed")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise LatentError(f"{path.name!r} cannot be read; choose another file") from error
    if size > MAX_BYTES:
        raise LatentError(f"{path.name!r} has {size >> 20} MB, more than a file of latents; is it a generator?")
    return size


def _numbers(arrays: Mapping[str, np.ndarray], name: str, wanted: str | None = None) -> tuple[Floats, str]:
    """The one array of codes among those of a file, and its name."""
    found = {key: a for key, a in arrays.items() if a.dtype.kind in "fiu" and a.ndim and wanted in (None, key)}
    if not found:
        raise LatentError(f"{name!r} holds no array of numbers; is it a generator or a picture?")
    named = [(found[key], key) for key in _KEYS if key in found]
    if not named and len(found) > 1:
        if sum(a.size for a in found.values()) > MAX_NUMBERS:  # one array may bear a thousand names
            raise LatentError(f"{name!r} holds no array of numbers that could be codes")
        same = {a.shape for a in found.values()}
        # A dictionary of one code per photograph, as several encoders write it, or of all steps of each (ReStyle).
        if len(same) == 1 and len(next(iter(same))) <= 2:
            named = [(np.stack(list(found.values())), "")]
        elif len(same) == 1 and len(next(iter(same))) == 3:
            named = [(np.stack([steps[-1] for steps in found.values()]), "")]
        else:
            keys = tuple(sorted(found))[:12]
            raise AmbiguousLatent(
                f"{name!r} holds several arrays: {', '.join(keys)}; choose the one that is meant", keys, asks="array"
            )
    key, array = next(iter(found.items()))
    if named:
        array, key = named[0]
    if array.dtype.kind not in "fiu" or array.size > MAX_NUMBERS:
        raise LatentError(f"{name!r} holds no array of numbers that could be codes")
    with np.errstate(over="ignore"):  # what overflows is refused by the reader as not finite
        return np.asarray(array, np.float32), key
