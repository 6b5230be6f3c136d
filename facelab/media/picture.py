"""Pictures that say how they were made, and that they were made.

A PNG carries its recipe as text in an uncompressed ``iTXt`` chunk named ``facelab.recipe`` (uncompressed, because Pillow refuses
compressed text that unpacks to more than 1 MiB). All pictures carry an XMP packet with IPTC's mark of synthetic media,
``DigitalSourceType``. Neither holds a path, a place or the source photograph.
"""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, PngImagePlugin

from facelab.errors import BadArgument, ExportError, PictureError
from facelab.faces.align import MAX_SIZE
from facelab.faces.photo import MAX_PIXELS, Pixels, decoding
from facelab.files import replacing

RECIPE_KEY = "facelab.recipe"
MAX_RECIPE_BYTES = 16 * 2**20
"""The largest recipe that is written or read; the optimised noise of a 1024-pixel generator takes 7.5 MiB, float16 as base64."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SCALES = (1, 2, 3, 4)

_MAX_DESCRIPTION = 2000  # JPEG holds 64 kB of XMP
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")

# On purpose, and together with MAX_RECIPE_BYTES: what text in a stranger's PNG may unpack to, one chunk and all of them.
PngImagePlugin.MAX_TEXT_CHUNK = 2**20
PngImagePlugin.MAX_TEXT_MEMORY = 4 * MAX_RECIPE_BYTES


def save_picture(
    path: str | os.PathLike[str],
    pixels: Pixels,
    recipe_json: str | None = None,
    *,
    description: str = "",
    composite: bool = False,
    scale: int = 1,
    quality: int = 95,
) -> Path:
    """Write a picture whole or not at all; its format follows from its suffix, one of ``SUFFIXES``.

    Args:
        path: where to; what is there is replaced.
        pixels: uint8 [H, W, 3], sRGB.
        recipe_json: how it was made, for PNG only; dropped on the window it restores the face.
        description: a sentence for other programs to show.
        composite: it is a photograph with a generated part (a paste-back), not generated as a whole.
        scale: enlarge so many times, with Lanczos; 1 to 4.
        quality: 1 to 100, of JPEG and WebP; 100 makes WebP lossless.

    Returns:
        ``path``.

    Raises:
        BadArgument: an argument is not as described, or a recipe is given for another format than PNG.
        ExportError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise BadArgument(f"a picture is uint8 [H, W, 3], not {pixels.dtype} {list(pixels.shape)}")
    if suffix not in SUFFIXES:
        raise BadArgument(f"cannot tell the format of {path.name!r}; end its name in {', '.join(SUFFIXES)}")
    if scale not in SCALES:
        raise BadArgument(f"a picture is enlarged 1 to 4 times, not {scale}")
    if not 1 <= quality <= 100:
        raise BadArgument(f"quality is 1 to 100, not {quality}")
    if pixels.shape[0] * pixels.shape[1] * scale**2 > MAX_PIXELS:
        raise BadArgument(
            f"the picture would have more than {MAX_PIXELS // 10**6} million pixels; choose a smaller scale"
        )
    if recipe_json is not None:
        if suffix != ".png":
            raise BadArgument("only a PNG carries its recipe; save it as .png, or without the recipe")
        if len(recipe_json.encode()) > MAX_RECIPE_BYTES:
            raise ExportError(
                f"the recipe is larger than {MAX_RECIPE_BYTES // 2**20} MiB; save the picture only, and the face to a file"
            )
    image = Image.fromarray(pixels)
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.LANCZOS)
    try:
        data = _encoded(image, suffix, quality, xmp_packet(description, composite), recipe_json)
    except (OSError, ValueError) as error:  # a side too long for WebP or JPEG
        raise ExportError(f"cannot make {path.name!r} a {suffix[1:]}: {error}; choose PNG or a smaller size") from error
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def _encoded(image: Image.Image, suffix: str, quality: int, xmp: bytes, recipe_json: str | None) -> bytes:
    # In memory first: of a full disk Pillow's encoders say only that they are broken.
    file = BytesIO()
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        if recipe_json is not None:
            text.add_itxt(RECIPE_KEY, recipe_json)
        image.save(file, "PNG", pnginfo=text)
    elif suffix == ".webp":
        image.save(file, "WEBP", quality=quality, lossless=quality == 100, xmp=xmp)
    else:
        image.save(file, "JPEG", quality=quality, subsampling=0, xmp=xmp)
    return file.getvalue()


def png_of(pixels: Pixels, most: int | None = None) -> bytes:
    """A picture, uint8 [H, W, 3], as a plain PNG, reduced where a side is longer than ``most``."""
    image = Image.fromarray(pixels)
    if most is not None:
        image.thumbnail((most, most), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pixels_of_png(png: bytes | None, name: str) -> Pixels:
    """The crop of a projection run, uint8 [S, S, 3], from its PNG in a project, which may be anybody's.

    Raises:
        PictureError: it is missing or damaged.
    """
    try:
        with decoding(name), Image.open(BytesIO(png or b""), formats=("PNG",)) as image:
            if max(image.size) > MAX_SIZE:
                raise PictureError("too large")
            return np.array(image.convert("RGB"))
    except PictureError as error:
        raise PictureError(f"the crop of {name!r} is missing or damaged; encode its photograph again") from error


def read_recipe(path: str | os.PathLike[str]) -> str | None:
    """The recipe a PNG carries, as text; None when it has none or is no PNG.

    Pixels are not decoded and at most ``MAX_RECIPE_BYTES`` and a little are read. The text is a stranger's: whoever parses it
    checks it.

    Raises:
        PictureError: the file cannot be read, is damaged before its pixels, or its texts are larger than facelab writes.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return None
            head = _SIGNATURE + file.read(MAX_RECIPE_BYTES + 2**16)
            whole = not file.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(f"{path.name!r} cannot be read: {reason}; choose another file") from error
    try:
        with decoding(path.name), Image.open(BytesIO(head), formats=("PNG",)) as image:
            recipe = image.info.get(RECIPE_KEY)
    except PictureError as error:
        if whole:
            raise
        raise PictureError(
            f"{path.name!r} is damaged, or carries larger texts than facelab reads; save it again"
        ) from error
    return str(recipe) if isinstance(recipe, PngImagePlugin.iTXt) else None


def xmp_packet(description: str = "", composite: bool = False) -> bytes:
    """The XMP packet that marks a picture as synthetic media, UTF-8.

    Source: IPTC Photo Metadata Standard 2023.2 (Digital Source Type) and ISO 16684-1 (XMP).
    """
    kind = "compositeWithTrainedAlgorithmicMedia" if composite else "trainedAlgorithmicMedia"
    text = escape(_NOT_XML.sub(" ", description[:_MAX_DESCRIPTION]))
    told = (
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>'
        if text
        else ""
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{_SOURCE_TYPE}{kind}</Iptc4xmpExt:DigitalSourceType>"
        f"<xmp:CreatorTool>facelab</xmp:CreatorTool>{told}"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()
