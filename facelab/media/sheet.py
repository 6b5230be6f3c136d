"""Contact sheets: pictures in rows and columns, with labels, titles and axes."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facelab.assets import resource
from facelab.errors import BadArgument, MissingPart
from facelab.faces.photo import MAX_PIXELS, Pixels

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont

PAPER: Colour = (24, 24, 24)
INK: Colour = (222, 222, 222)

# facelab's own font knows the letters of Europe, Greek, Cyrillic, Arabic and mathematics; for what it lacks these are looked for
# where systems keep fonts.
_OWN_FONT = "DejaVuSans.ttf"
_SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc", "msyh.ttc", "malgun.ttf", "YuGothM.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc",
    "Arial Unicode.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf", "Nirmala.ttf", "seguisym.ttf",
)  # fmt: skip
_NO_CHARACTER = "\U0010ffff"  # never assigned: every font draws its box for "missing"


def sheet(
    pictures: Sequence[Pixels],
    columns: int | None = None,
    *,
    labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    x_title: str = "",
    y_title: str = "",
    gap: int = 4,
    text_size: int = 16,
    paper: Colour = PAPER,
    ink: Colour = INK,
) -> Pixels:
    """Lay pictures out, row by row, from the top left.

    A montage is a sheet with ``gap=0`` and no words; a plane has its steps in ``row_labels`` and ``column_labels`` and its axes
    in ``x_title`` (below) and ``y_title`` (left, read upwards).

    Args:
        pictures: at least one, all uint8 of one shape [H, W, 3].
        columns: pictures in a row; None makes the sheet about square.
        labels: words under each picture, one for each or none. Words that are too long end in an ellipsis.
        row_labels: words left of each row, one for each or none.
        column_labels: words above each column, one for each or none.
        title: words above all.
        x_title: words under all.
        y_title: words left of all, turned by 90°.
        gap: pixels between pictures.
        text_size: height of letters in pixels.
        paper: background colour.
        ink: colour of words.

    Returns:
        uint8 [H, W, 3].

    Raises:
        BadArgument: pictures of several shapes, a count of labels that does not fit, or a sheet over ``MAX_PIXELS``.
    """
    if not pictures:
        raise BadArgument("a sheet needs at least one picture")
    shape = pictures[0].shape
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.shape != shape:
            raise BadArgument(
                f"the pictures of a sheet are uint8 of one shape [H, W, 3], not {picture.dtype} {list(picture.shape)}"
            )
    count = len(pictures)
    columns = columns or math.ceil(math.sqrt(count))
    if columns < 1 or gap < 0 or text_size < 4:
        raise BadArgument(f"columns are at least 1, a gap 0, a text size 4, not {columns}, {gap}, {text_size}")
    columns = min(columns, count)
    rows = -(-count // columns)
    for name, words, wanted in (
        ("labels", labels, count),
        ("row_labels", row_labels, rows),
        ("column_labels", column_labels, columns),
    ):
        if words and len(words) != wanted:
            raise BadArgument(f"{name} has {len(words)} entries for {wanted}")

    height, width = shape[:2]
    labels, row_labels, column_labels = (list(map(_one_line, words)) for words in (labels, row_labels, column_labels))
    title, x_title, y_title = map(_one_line, (title, x_title, y_title))
    face = font("".join((title, x_title, y_title, *labels, *row_labels, *column_labels)), text_size)
    line = round(text_size * 1.5)
    pad = max(gap, text_size // 2) if any((labels, row_labels, column_labels, title, x_title, y_title)) else 0
    beside = math.ceil(max(map(face.getlength, row_labels), default=0))
    beside = min(beside + text_size // 2, 2 * width) if row_labels else 0
    left = pad + (line if y_title else 0) + beside
    top = pad + (round(line * 1.4) if title else 0) + (line if column_labels else 0)
    step_x, step_y = width + gap, height + gap + (line if labels else 0)
    grid_width, grid_height = columns * step_x - gap, rows * step_y - gap
    total = (left + grid_width + pad, top + grid_height + pad + (line if x_title else 0))
    if total[0] * total[1] > MAX_PIXELS:
        raise BadArgument(
            f"the sheet would have more than {MAX_PIXELS // 10**6} million pixels; use fewer or smaller pictures"
        )

    image = Image.new("RGB", total, paper)
    draw = ImageDraw.Draw(image)

    def write(words: str, x: float, y: float, room: float, anchor: str) -> None:
        draw.text((x, y), _fitted(words, face, room), ink, face, anchor=anchor)

    for i, picture in enumerate(pictures):
        x, y = left + i % columns * step_x, top + i // columns * step_y
        image.paste(Image.fromarray(picture), (x, y))
        if labels:
            write(labels[i], x + width / 2, y + height + line / 2, width, "mm")
    for i, words in enumerate(column_labels):
        write(words, left + i * step_x + width / 2, top - line / 2, width, "mm")
    for i, words in enumerate(row_labels):
        write(words, left - text_size // 2, top + i * step_y + height / 2, beside, "rm")
    middle = left + grid_width / 2
    write(title, middle, pad + line * 0.6, grid_width, "mm")
    write(x_title, middle, total[1] - pad / 2 - line / 2, grid_width, "mm")
    if y_title:
        upright = Image.new("RGB", (max(1, grid_height), line), paper)
        ImageDraw.Draw(upright).text(
            (grid_height / 2, line / 2), _fitted(y_title, face, grid_height), ink, face, anchor="mm"
        )
        image.paste(upright.transpose(Image.Transpose.ROTATE_90), (pad // 2, top))
    return np.asarray(image)


@functools.lru_cache(maxsize=256)
def font(words: str, size: int) -> Font:
    """A font for the words: facelab's own, unless one of this system can draw more of them."""
    wanted = frozenset(words) - {" "}
    best, missing = _face(_OWN_FONT, size), _missing(_OWN_FONT, wanted)
    for name in _SYSTEM_FONTS if missing else ():
        left = _missing(name, wanted)
        if len(left) < len(missing):
            best, missing = _face(name, size), left
    if best is None:
        raise MissingPart(f"{_OWN_FONT} cannot be read; install facelab again")
    return best


@functools.lru_cache(maxsize=64)
def _face(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(str(resource(name)) if name == _OWN_FONT else name, size)
    except OSError:
        return None


@functools.lru_cache(maxsize=1024)
def _missing(name: str, characters: frozenset[str]) -> frozenset[str]:
    """Which characters a font draws as its box for "missing"; all, where there is no such font."""
    face = _face(name, 24)
    if face is None:
        return characters

    def drawn(character: str) -> tuple[tuple[int, int], bytes]:
        mask = face.getmask(character)
        return mask.size, bytes(mask)

    box = drawn(_NO_CHARACTER)
    return frozenset(character for character in characters if drawn(character) == box)


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _fitted(words: str, face: Font, room: float) -> str:
    """The words, cut with an ellipsis to the room there is."""
    if face.getlength(words) <= room:
        return words
    fits = bisect.bisect_right(range(len(words)), room, key=lambda count: face.getlength(words[:count] + "…"))
    return words[: max(0, fits - 1)].rstrip() + "…"
