"""The mixing table: faces in rows and columns, and in each cell the column's face with some layers of the row's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from facelab.errors import BadArgument
from facelab.latent.code import Code, Value, digest_of, expect, layer_range, span
from facelab.latent.recipe import Recipe

MOST = 24  # rows, and columns


@dataclass(frozen=True, kw_only=True, eq=False)
class MixingTable(Value):
    """The faces of a table, and the layers that its rows give.

    Attributes:
        columns, rows: at most `MOST` each, all of one generator; either may be empty.
        layers: half-open range of layers that the rows give; the columns give the rest, and the noise.

    Source: Karras et al. 2019 (arXiv:1812.04948), figure 3.
    """

    columns: tuple[Recipe, ...]
    rows: tuple[Recipe, ...]
    layers: tuple[int, int]

    def __post_init__(self) -> None:
        if max(len(self.columns), len(self.rows)) > MOST:
            raise BadArgument(f"a mixing table has at most {MOST} rows and {MOST} columns")
        if len({r.generator for r in (*self.columns, *self.rows)}) > 1:
            raise BadArgument("the faces of a mixing table belong to one generator")
        layers = span(self.layers)
        if layers is None:
            raise BadArgument("a mixing table has a range of layers")
        object.__setattr__(self, "layers", layers)

    @property
    def generator(self) -> str | None:
        """SHA-256 of the generator that all faces belong to; None while there is no face."""
        return next((r.generator for r in (*self.columns, *self.rows)), None)

    @cached_property
    def digest(self) -> str:
        return digest_of([[r.digest for r in self.columns], [r.digest for r in self.rows], self.layers])

    def change(self, **fields: Any) -> MixingTable:
        """A copy with some fields changed."""
        return replace(self, **fields)

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [r.to_json() for r in self.columns],
            "rows": [r.to_json() for r in self.rows],
            "layers": list(self.layers),
        }

    @classmethod
    def from_json(cls, value: object) -> MixingTable:
        """The table of ``to_json``.

        Raises:
            BadArgument: the value is not one.
        """
        v = expect(value, dict, "a mixing table")
        lines: dict[str, tuple[Recipe, ...]] = {}
        for name in ("columns", "rows"):
            texts = expect(v.get(name), list, f"the {name} of a mixing table")
            if len(texts) > MOST:
                raise BadArgument(f"a mixing table has at most {MOST} {name}")
            lines[name] = tuple(Recipe.from_json(expect(t, str, "a face of a mixing table")) for t in texts)
        layers = layer_range(v.get("layers"))
        if layers is None:
            raise BadArgument("a mixing table has a range of layers")
        return cls(columns=lines["columns"], rows=lines["rows"], layers=layers)


def crossed(column: Recipe, column_code: Code, row_code: Code, layers: tuple[int, int], num_ws: int) -> Recipe:
    """The face of a cell.

    Args:
        column: its noise and transform hold for the cell.
        column_code, row_code: what the column's and the row's face work out to, W+.
        layers: half-open range of layers that come from the row.
        num_ws: the number of layers.
    """
    inside = tuple(float(layers[0] <= layer < layers[1]) for layer in range(num_ws))
    outside = tuple(1 - share for share in inside)
    return column.change(
        sources=(column_code, row_code), weights=(outside, inside), psi=(1.0,), cutoff=None, directions=()
    )
