"""Writes frames as a video, one by one, whole or not at all.

``FORMATS`` lists what can be written. A file grows under a temporary name and takes its own when it is finished; a folder of PNG
frames grows in place, frame by whole frame, and an export that was broken off goes on in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from facelab.errors import BadArgument, ExportError
from facelab.faces.photo import Pixels
from facelab.files import cannot_write, replacing
from facelab.media.picture import save_picture, xmp_packet

MAX_SIDE = 8192
MAX_ANIMATION_BYTES = 2**30
"""GIF and WebP are put together in memory; longer ones are refused, at this many bytes of frames."""

FRAMES_KEY = "facelab-frames.json"

_BT709 = 1  # of the matrix, the primaries and the transfer curve alike (ITU-T H.273)
_MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Format:
    """A kind of video.

    Attributes:
        suffix: the file ending that chooses it; "" is a folder.
        title: for menus.
        codec: FFmpeg's encoder; "" where Pillow writes it.
    """

    suffix: str
    title: str
    codec: str = ""


FORMATS = (
    Format(".mp4", "MP4 video (H.264)", "libx264"),
    Format(".webm", "WebM video (VP9)", "libvpx-vp9"),
    Format(".mkv", "Lossless video (FFV1)", "ffv1"),
    Format(".gif", "GIF animation"),
    Format(".webp", "WebP animation"),
    Format("", "Folder of PNG frames"),
)


class VideoWriter:
    """Writes a video of equal frames.

    Used as a context it finishes on a plain exit and removes what was written on any other; else call ``finish`` or ``close``.
    ::

        with VideoWriter("morph.mp4", (512, 512), fps=25) as video:
            for frame in frames:
                video.add(frame)

    Args:
        path: its suffix chooses among ``FORMATS``; without one, a folder of PNG frames.
        size: width and height of the frames. MP4 and WebM need even ones: an odd picture's last column or row is repeated.
        fps: frames a second, above 0 and up to 240.
        quality: 1 to 100; of FFV1, GIF and PNG nothing depends on it, and 100 makes WebP lossless.
        description: a sentence stored with it, as is the mark of synthetic media.
        resume_key: for a folder: what the frames are made of (a hash of the job, say). A folder that was begun with the same key,
            size and fps is gone on with; without a key, or with another one, a folder that holds anything is refused.

    Attributes:
        frames: how many frames there are so far; of a resumed folder, those that were there: give the next ones only.

    Raises:
        BadArgument: an argument is not as described.
        ExportError: the file cannot be written, or FFmpeg lacks the codec.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        fps: float = 25,
        *,
        quality: int = 80,
        description: str = "",
        resume_key: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = size
        width, height = size
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise BadArgument(f"a video is 1 to {MAX_SIDE} pixels wide and high, not {width} × {height}")
        if not 0 < fps <= 240:
            raise BadArgument(f"frames a second are above 0 and up to 240, not {fps}")
        if not 1 <= quality <= 100:
            raise BadArgument(f"quality is 1 to 100, not {quality}")
        suffix = self.path.suffix.lower()
        kind = next((kind for kind in FORMATS if kind.suffix == suffix), None)
        if kind is None:
            endings = ", ".join(kind.suffix for kind in FORMATS if kind.suffix)
            raise BadArgument(
                f"cannot tell the format of {self.path.name!r}; end its name in {endings}, or in nothing for frames"
            )
        self._sink: _Sink
        if kind.codec:
            self._sink = _Encoded(self.path, kind.codec, size, fps, quality, description)
        elif kind.suffix:
            self._sink = _Animation(self.path, size, fps, quality, description)
        else:
            self._sink = _Folder(self.path, size, fps, description, resume_key)
        self.frames = self._sink.begun
        self._open = True

    def add(self, frame: Pixels) -> None:
        """Append one frame, uint8 [H, W, 3], sRGB.

        Raises:
            BadArgument: the frame has another shape, or the video is closed.
            ExportError: it cannot be written; what was written is removed.
        """
        width, height = self.size
        if frame.dtype != np.uint8 or frame.shape != (height, width, 3):
            raise BadArgument(f"frames are uint8 [{height}, {width}, 3], not {frame.dtype} {list(frame.shape)}")
        self._act(self._sink.add, np.ascontiguousarray(frame))
        self.frames += 1

    def finish(self) -> Path:
        """Write the end and give the file its name; returns its path.

        Raises:
            BadArgument: there is no frame, or the video is closed.
            ExportError: it cannot be written; what was written is removed.
        """
        if self.frames == 0:
            self.close()
            raise BadArgument("a video needs at least one frame")
        self._act(self._sink.finish)
        self._open = False
        return self.path

    def close(self) -> None:
        """Without ``finish``: remove what was written (a folder's whole frames stay, to go on with). After it: nothing."""
        if self._open:
            self._open = False
            self._sink.abandon()

    def _act(self, step: Callable[..., None], *arguments: Pixels) -> None:
        if not self._open:
            raise BadArgument("the video is closed")
        try:
            step(*arguments)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._open:
            self.finish()
        else:
            self.close()


class _Sink(Protocol):
    """Where frames go. After ``finish`` or ``abandon`` nothing more is called."""

    begun: int

    def add(self, frame: Pixels) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


class _Encoded:
    """A video file by FFmpeg."""

    begun = 0

    def __init__(
        self, path: Path, codec: str, size: tuple[int, int], fps: float, quality: int, description: str
    ) -> None:
        self._path = path
        exact = codec == "ffv1"
        width, height = size if exact else (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._pad = ((0, height - size[1]), (0, width - size[0]), (0, 0))
        self._format = "bgr0" if exact else "yuv420p"
        rate = Fraction(fps).limit_denominator(1001)
        self._stack = contextlib.ExitStack()
        with self._stack:
            temporary = self._stack.enter_context(replacing(path))
            with self._said():
                # faststart: the index comes first, so that a browser plays it while loading.
                options = {"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}
                self._container = av.open(str(temporary), "w", options=options)
                self._stack.callback(self._close_quietly)
                self._container.metadata["comment"] = f"Digital source type: {_MARK}"
                if description:
                    self._container.metadata["title"] = description[:2000]
                stream = cast(
                    av.VideoStream, self._container.add_stream(codec, rate=rate, options=_codec_options(codec, quality))
                )
                stream.width, stream.height, stream.pix_fmt = width, height, self._format
                stream.codec_context.time_base = 1 / rate
                if not exact:
                    context = stream.codec_context
                    context.color_range = ColorRange.MPEG
                    context.colorspace = context.color_primaries = context.color_trc = _BT709
                self._stream = stream
            self._stack = self._stack.pop_all()
        self._time = 0

    def add(self, frame: Pixels) -> None:
        with self._said():
            picture = av.VideoFrame.from_ndarray(np.pad(frame, self._pad, "edge"), format="rgb24")
            if self._format == "yuv420p":
                # Screen colours have the full range, video the narrow one; without being told FFmpeg would take the SD matrix.
                picture = picture.reformat(
                    format=self._format,
                    dst_colorspace=Colorspace.ITU709,
                    src_color_range=ColorRange.JPEG,
                    dst_color_range=ColorRange.MPEG,
                )
            else:
                picture = picture.reformat(format=self._format)
            picture.pts = self._time
            picture.time_base = self._stream.codec_context.time_base
            self._time += 1
            self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        with self._said():
            self._container.mux(self._stream.encode(None))
            self._container.close()
        self._stack.close()

    def abandon(self) -> None:
        with contextlib.suppress(_Abandoned):
            self._stack.__exit__(_Abandoned, _Abandoned(), None)

    def _close_quietly(self) -> None:
        # Closed a second time after finish, where it does nothing; else the file is about to be removed.
        with contextlib.suppress(av.FFmpegError):
            self._container.close()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise cannot_write(self._path, error) from error
            raise ExportError(
                f"cannot write {self._path.name!r}: FFmpeg says {error}; choose another format"
            ) from error
        except UnknownCodecError as error:
            raise ExportError(
                f"cannot write {self._path.name!r}: this FFmpeg lacks {error}; choose another format"
            ) from error


class _Abandoned(Exception):
    """Thrown through the open contexts of a file that is given up."""


def _codec_options(codec: str, quality: int) -> dict[str, str]:
    # The scales of constant quality: x264 0 to 51 (18 is taken for visually lossless), VP9 0 to 63 (about 10 more).
    if codec == "libx264":
        return {"crf": str(round(40 - 0.28 * quality)), "preset": "medium"}
    if codec == "libvpx-vp9":
        return {"crf": str(round(52 - 0.3 * quality)), "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
    return {"level": "3"}


class _Animation:
    """A GIF or animated WebP by Pillow, which takes all frames at once."""

    begun = 0

    def __init__(self, path: Path, size: tuple[int, int], fps: float, quality: int, description: str) -> None:
        self._path, self._fps, self._quality, self._description = path, fps, quality, description
        self._gif = path.suffix.lower() == ".gif"
        self._frames: list[Image.Image] = []
        self._limit = MAX_ANIMATION_BYTES // (size[0] * size[1] * (1 if self._gif else 4))  # Pillow's RGB takes 4
        self._stack = contextlib.ExitStack()
        self._temporary = self._stack.enter_context(replacing(path))

    def add(self, frame: Pixels) -> None:
        if len(self._frames) >= self._limit:
            raise ExportError(
                f"{self._path.name!r} is limited to {self._limit} frames of this size; choose MP4 or WebM"
            )
        image = Image.fromarray(frame)
        self._frames.append(image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG) if self._gif else image)

    def finish(self) -> None:
        first, *rest = self._frames
        # Both formats count whole ticks (10 ms and 1 ms): rounding the times, not the lengths, keeps the speed right.
        tick = 10 if self._gif else 1
        times = [round(i * 1000 / self._fps / tick) * tick for i in range(len(self._frames) + 1)]
        lengths = [max(tick, after - before) for before, after in itertools.pairwise(times)]
        options: dict[str, Any]
        if self._gif:
            options = {"format": "GIF", "comment": _MARK.encode(), "disposal": 1, "optimize": False}
        else:
            xmp = xmp_packet(self._description)
            options = {
                "format": "WEBP",
                "quality": self._quality,
                "lossless": self._quality == 100,
                "method": 4,
                "xmp": xmp,
            }
        try:
            first.save(self._temporary, save_all=True, append_images=rest, duration=lengths, loop=0, **options)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._frames.clear()
        self._stack.close()

    def abandon(self) -> None:
        self._frames.clear()
        with contextlib.suppress(_Abandoned):
            self._stack.__exit__(_Abandoned, _Abandoned(), None)


class _Folder:
    """PNG frames named frame_000000.png and so on, and beside them what they are."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, description: str, key: str | None) -> None:
        self._path, self._description = path, description
        note = {"version": 1, "size": list(size), "fps": fps, "key": key}
        try:
            path.mkdir(exist_ok=True)
            empty = not any(path.iterdir())
        except (OSError, ValueError) as error:
            raise cannot_write(path, error if isinstance(error, OSError) else OSError(str(error))) from error
        if empty:
            with replacing(path / FRAMES_KEY) as temporary:
                temporary.write_text(json.dumps(note), "utf-8")
        elif key is None or self._note() != note:
            raise ExportError(f"the folder {path.name!r} holds other files; choose another name, or empty it first")
        self.begun = 0
        while self._frame(self.begun).is_file():
            self.begun += 1
        self._next = self.begun

    def add(self, frame: Pixels) -> None:
        save_picture(self._frame(self._next), frame, description=self._description)
        self._next += 1

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        if self._next == 0:
            with contextlib.suppress(OSError):
                (self._path / FRAMES_KEY).unlink()
                self._path.rmdir()  # leaves a folder that holds anything

    def _frame(self, number: int) -> Path:
        return self._path / f"frame_{number:06d}.png"

    def _note(self) -> object:
        try:
            return json.loads((self._path / FRAMES_KEY).read_text("utf-8"))
        except (OSError, ValueError):
            return None
