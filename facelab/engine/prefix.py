"""Feature maps kept between pictures: a map before layer k depends only on the rows of ws before k, and on their noise.

When a person moves a fine layer's slider, only the layers from there on are computed.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """What is needed to go on at a layer: its input [1, C, h, w], and the picture that its block adds to."""

    x: Tensor
    picture: Tensor | None

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.x, self.picture) if t is not None)


class PrefixCache:
    """Least recently used entries go first once the bytes are full."""

    def __init__(self, limit: int) -> None:
        """``limit`` in bytes; 0 keeps nothing."""
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def keys(self, ws: Tensor, signature: Sequence[bytes]) -> list[bytes]:
        """For ws [L, C] the key of each row: a digest of all rows and noise signatures before it."""
        if self.limit == 0:
            return []
        running = hashlib.blake2b(digest_size=16)
        keys = [running.digest()]
        rows = ws.detach().cpu().contiguous().numpy()
        for index in range(len(rows) - 1):
            running.update(rows[index].tobytes())
            running.update(signature[index] if index < len(signature) else b"")
            keys.append(running.digest())
        return keys

    def longest(self, keys: Sequence[bytes], last: int) -> tuple[int, Entry | None]:
        """The highest row, at most ``last``, whose input is kept."""
        for row in range(min(last, len(keys) - 1), 0, -1):
            entry = self._entries.get(keys[row])
            if entry is not None:
                self._entries.move_to_end(keys[row])
                return row, entry
        return 0, None

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry; what was used longest ago makes room."""
        if entry.bytes > self.limit // 2 or key in self._entries:
            return
        self._entries[key] = entry
        self.bytes += entry.bytes
        while self.bytes > self.limit:
            _, old = self._entries.popitem(last=False)
            self.bytes -= old.bytes

    def clear(self) -> None:
        """Let go of everything."""
        self._entries.clear()
        self.bytes = 0
