"""Values on their way into a project and out: bounded texts and pictures, JSON, and the arrays of codes, which lie once each."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument

_MAX_TEXT = 1024
_MAX_JSON = 64 << 20
MAX_PICTURE = 64 << 20

# By digest: the type as `latent.code.pack` names it, the shape as JSON, and the bytes.
Array: TypeAlias = tuple[str, str, bytes]
Arrays: TypeAlias = dict[str, Array]


def hoist(value: Any, arrays: Arrays) -> Any:
    """The JSON value with every packed array replaced by the digest under which it is put into ``arrays``."""
    if isinstance(value, dict):
        kind = next((k for k in ("f32", "f16") if value.keys() == {"shape", k}), None)
        if kind is not None:
            data, shape = base64.b64decode(value[kind]), json.dumps(value["shape"])
            digest = hashlib.sha256(f"{kind}{shape}".encode() + data).hexdigest()
            arrays[digest] = (kind, shape, data)
            return {"array": digest}
        return {k: hoist(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [hoist(v, arrays) for v in value]
    return value


def lower(value: Any, arrays: Mapping[str, Array]) -> Any:
    """Undoes `hoist`."""
    if isinstance(value, dict):
        if value.keys() == {"array"} and isinstance(value["array"], str):
            try:
                kind, shape, data = arrays[value["array"]]
            except KeyError:
                raise BadArgument("one of its arrays is missing") from None
            return {"shape": json.loads(shape), kind: base64.b64encode(data).decode("ascii")}
        return {k: lower(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [lower(v, arrays) for v in value]
    return value


def keep_arrays(db: sqlite3.Connection, arrays: Mapping[str, Array], **owner: int | str) -> None:
    ((column, key),) = owner.items()
    for digest, array in arrays.items():
        db.execute("INSERT OR IGNORE INTO arrays VALUES (?, ?, ?, ?)", (digest, *array))
        db.execute(f"INSERT INTO uses (digest, {column}) VALUES (?, ?)", (digest, key))


def plain(value: object, name: str, most: int = _MAX_JSON) -> str:
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} has to be plain JSON with finite numbers") from error
    if len(text) > most:
        raise BadArgument(f"{name} is too long to be kept")
    return text


def short(text: str, name: str) -> str:
    """A person's text for the file: characters that cannot be stored (lone surrogates, NUL) replaced, bounded."""
    clean = str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
    if len(clean) > _MAX_TEXT:
        raise BadArgument(f"{name} is longer than {_MAX_TEXT} characters; shorten it")
    return clean


def quad_json(quad: npt.ArrayLike | None) -> str | None:
    if quad is None:
        return None
    corners = np.asarray(quad, np.float64)
    if corners.shape != (4, 2) or not np.isfinite(corners).all():
        raise BadArgument(f"a crop is four corners [4, 2] of finite numbers, not the shape {corners.shape}")
    return json.dumps(corners.tolist())


def picture(png: bytes | None, name: str) -> bytes | None:
    if png is not None and len(png) > MAX_PICTURE:
        raise BadArgument(f"{name} is larger than {MAX_PICTURE >> 20} MB")
    return None if png is None else bytes(png)


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Clean tags, each once, in the order given."""
    return list(dict.fromkeys(t for t in (short(tag, "a tag") for tag in tags) if t))
