"""The catalogue of well-known checkpoints: what they are, their terms, where their publishers keep them.

The data lie in resources/catalogue.json. A checksum or size that nobody published is None; a checksum is then kept
from the first download.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from facelab.assets import resource
from facelab.errors import BadArgument
from facelab.settings import data_folder


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the catalogue.

    Attributes:
        name: unique; also the stem of the downloaded file.
        title: what it draws or measures, for people.
        kind: a generator, features for a perceptual loss, or a network for a metric.
        family: ``"stylegan2"`` and so on, or the name of the feature network.
        resolution: height and width of its pictures, in pixels.
        c_dim: number of its classes; 0 for none.
        licence: its terms in a few words, to be accepted before a download.
        licence_address: where they stand in full.
        address: where its publisher keeps it.
        bytes: its size, where known.
        sha256: its checksum, where known.
        by_hand: it can only be fetched with a browser, and then opened as a file.
    """

    name: str
    title: str
    kind: Literal["generator", "features", "metric"]
    family: str
    resolution: int
    c_dim: int
    licence: str
    licence_address: str
    address: str
    bytes: int | None
    sha256: str | None
    by_hand: bool

    @property
    def file_name(self) -> str:
        """The name that its file gets: the entry's, with the suffix that it was published with."""
        return self.name + PurePosixPath(urlsplit(self.address).path).suffix

    def path(self, folder: Path | None = None) -> Path:
        """Where its file lies once it is downloaded; by default in the person's data folder."""
        return (folder or download_folder()) / self.file_name


def download_folder() -> Path:
    """Where downloads are kept; not made."""
    return data_folder() / "downloads"


def entries() -> tuple[Entry, ...]:
    """All entries, in the order in which they are shown."""
    table = json.loads(resource("catalogue.json").read_text("utf-8"))
    return tuple(Entry(**entry) for entry in table["entries"])


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        BadArgument: there is none.
    """
    for entry in entries():
        if entry.name == name:
            return entry
    raise BadArgument(f"the catalogue has no {name!r}; `facelab catalogue` lists what it has")
