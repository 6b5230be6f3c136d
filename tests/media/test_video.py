from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.errors import BadArgument, ExportError
from facelab.faces.photo import open_photo
from facelab.media import video as video_module
from facelab.media.video import FORMATS, VideoWriter

NAMES = ["a.mp4", "a.webm", "a.mkv", "a.gif", "a.webp"]
COUNT = 12


def frames(width: int = 96, height: int = 64, count: int = COUNT) -> Iterator[np.ndarray]:
    """Pieces of a photograph through which a window moves."""
    photo = open_photo(resource(SAMPLE_PHOTO)).pixels
    for i in range(count):
        yield photo[60 : 60 + height, 150 + 2 * i : 150 + 2 * i + width]


def write(path: Path, size: tuple[int, int] = (96, 64), fps: float = 25, count: int = COUNT, **options: Any) -> Path:
    with VideoWriter(path, size, fps, **options) as video:
        for frame in frames(*size, count):
            video.add(frame)
    return path


def write_all(writer: VideoWriter, pictures: np.ndarray) -> None:
    with writer as video:
        for picture in pictures:
            video.add(picture)


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """The frames and the second at which each begins, the end last."""
    if path.suffix in {".gif", ".webp"}:
        shown, times = [], [0.0]
        with Image.open(path) as image:
            for i in range(image.n_frames):
                image.seek(i)
                shown.append(np.asarray(image.convert("RGB")))
                times.append(times[-1] + image.info["duration"] / 1000)
        return shown, times
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
        times = [float(frame.time) for frame in decoded]
        return [frame.to_ndarray(format="rgb24") for frame in decoded], [*times, 2 * times[-1] - times[-2]]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-12))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fps", [25, 30, 29.97])
def test_that_a_video_reads_back_with_its_frames_its_size_and_its_speed(tmp_path: Path, name: str, fps: float) -> None:
    shown, times = read(write(tmp_path / name, fps=fps))
    assert [frame.shape for frame in shown] == [(64, 96, 3)] * COUNT
    assert np.allclose(times, np.arange(COUNT + 1) / fps, atol=0.0051)  # a GIF counts hundredths of a second
    floor = {"a.mp4": 30, "a.webm": 28, "a.mkv": 99, "a.gif": 26, "a.webp": 28}[name]
    for i, (got, wanted) in enumerate(zip(shown, frames(), strict=True)):
        assert psnr(got, wanted) > floor, i
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_that_ffv1_keeps_every_pixel_even_of_an_odd_size(tmp_path: Path) -> None:
    shown, _ = read(write(tmp_path / "a.mkv", (95, 61)))
    assert all(np.array_equal(got, wanted) for got, wanted in zip(shown, frames(95, 61), strict=True))


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_that_an_odd_size_becomes_even_by_repeating_its_edge(tmp_path: Path, name: str) -> None:
    shown, _ = read(write(tmp_path / name, (95, 61)))
    assert shown[0].shape == (62, 96, 3)
    assert psnr(shown[3][:61, :95], list(frames(95, 61))[3]) > 27
    assert psnr(shown[3][:61, 95], shown[3][:61, 94]) > 25


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.webm", "vp9"), ("a.mkv", "ffv1")])
def test_that_players_are_told_codec_rate_and_colours(tmp_path: Path, name: str, codec: str) -> None:
    with av.open(str(write(tmp_path / name, fps=30, description="from a to b"))) as container:
        stream = container.streams.video[0]
        assert stream.codec.name == codec
        assert stream.average_rate == 30
        assert container.metadata["title"] == "from a to b"
        assert "trainedAlgorithmicMedia" in str(container.metadata)
        if codec != "ffv1":
            context = stream.codec_context
            assert context.pix_fmt == "yuv420p"
            assert [
                int(v) for v in (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
            ] == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (200, 150, 120)])
def test_that_colours_stay_what_they_are(tmp_path: Path, name: str, colour: tuple[int, int, int]) -> None:
    with VideoWriter(tmp_path / name, (32, 32), quality=100) as video:
        for _ in range(3):
            video.add(np.full((32, 32, 3), colour, np.uint8))
    shown, _ = read(tmp_path / name)
    assert np.abs(shown[1].astype(int) - colour).max() <= 4


def test_that_an_mp4_has_its_index_in_front(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.webp"])
def test_that_more_quality_makes_a_better_and_larger_file(tmp_path: Path, name: str) -> None:
    poor, good = write(tmp_path / f"poor-{name}", quality=10), write(tmp_path / f"good-{name}", quality=95)
    assert good.stat().st_size > 1.5 * poor.stat().st_size
    wanted = list(frames())
    assert psnr(read(good)[0][5], wanted[5]) > psnr(read(poor)[0][5], wanted[5]) + 2


@pytest.mark.parametrize("name", NAMES)
def test_that_a_still_picture_of_equal_frames_keeps_its_length(tmp_path: Path, name: str) -> None:
    with VideoWriter(tmp_path / name, (32, 32), 10) as video:
        for _ in range(5):
            video.add(np.full((32, 32, 3), 90, np.uint8))
    if name not in {"a.gif", "a.webp"}:
        assert read(tmp_path / name)[1][-1] == pytest.approx(0.5)
    else:
        with Image.open(tmp_path / name) as image:
            assert image.size == (32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_that_one_frame_is_a_video(tmp_path: Path, name: str) -> None:
    with VideoWriter(tmp_path / name, (32, 32)) as video:
        video.add(np.full((32, 32, 3), 90, np.uint8))
    assert (tmp_path / name).stat().st_size > 100


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
def test_that_a_cancelled_video_leaves_the_old_one_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")

    def cancelled() -> None:
        with VideoWriter(path, (96, 64)) as video:
            for frame in frames():
                video.add(frame)
            raise Cancelled

    with pytest.raises(Cancelled):
        cancelled()
    video = VideoWriter(path, (96, 64))
    video.add(next(frames()))
    video.close()
    video.close()
    del video
    VideoWriter(path, (96, 64)).close()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(BadArgument, match="at least one frame"), VideoWriter(path, (96, 64)):
        pass
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", NAMES)
def test_that_a_full_disk_gives_one_sentence_and_leaves_nothing(tmp_path: Path, name: str, small_disk: Any) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (6, 160, 160, 3)).astype(np.uint8)
    with small_disk(60_000), pytest.raises(ExportError, match=f"^cannot write '{name}': "):
        write_all(VideoWriter(tmp_path / name, (160, 160), quality=99), noise)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*NAMES, "frames"])
def test_that_a_missing_folder_is_said_before_the_first_frame(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="folder does not exist"):
        VideoWriter(tmp_path / "gone" / name, (32, 32))


def test_that_a_codec_that_ffmpeg_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "FORMATS", (video_module.Format(".mp4", "MP4", "libx999"),))
    with pytest.raises(ExportError, match="libx999"):
        VideoWriter(tmp_path / "a.mp4", (32, 32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [({"path": "a.avi"}, "format"), ({"size": (0, 32)}, "wide and high"), ({"size": (32, 9000)}, "wide and high"),
     ({"fps": 0}, "frames a second"), ({"fps": 1000}, "frames a second"), ({"quality": 101}, "quality")],
)  # fmt: skip
def test_that_wrong_arguments_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    arguments: dict[str, Any] = {"path": "a.mp4", "size": (32, 32)} | change
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(BadArgument, match=said):
        VideoWriter(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "frame", [np.zeros((32, 31, 3), np.uint8), np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8)]
)
def test_that_a_frame_of_another_shape_is_refused_and_the_video_goes_on(tmp_path: Path, frame: np.ndarray) -> None:
    with VideoWriter(tmp_path / "a.mkv", (32, 32)) as video:
        with pytest.raises(BadArgument, match="frames are uint8"):
            video.add(frame)
        for _ in range(2):
            video.add(np.zeros((32, 32, 3), np.uint8))
    assert len(read(tmp_path / "a.mkv")[0]) == 2
    with pytest.raises(BadArgument, match="closed"):
        video.add(np.zeros((32, 32, 3), np.uint8))


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_that_an_animation_beyond_its_bound_of_memory_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "MAX_ANIMATION_BYTES", 32 * 32 * 4 * 3)
    with pytest.raises(ExportError, match="choose MP4 or WebM"):
        write_all(VideoWriter(tmp_path / name, (32, 32)), np.zeros((13, 32, 32, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_that_a_folder_of_frames_holds_each_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", count=3)
    names = sorted(p.name for p in path.glob("*.png"))
    assert names == ["frame_000000.png", "frame_000001.png", "frame_000002.png"]
    for name, wanted in zip(names, frames(count=3), strict=True):
        assert np.array_equal(open_photo(path / name).pixels, wanted)


def test_that_a_broken_off_folder_goes_on_with_the_next_frame(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    wanted = list(frames())
    first = VideoWriter(path, (96, 64), resume_key="job 1")
    for frame in wanted[:5]:
        first.add(frame)
    first.close()
    with VideoWriter(path, (96, 64), resume_key="job 1") as second:
        assert second.frames == 5
        for frame in wanted[second.frames :]:
            second.add(frame)
    shown = [open_photo(p).pixels for p in sorted(path.glob("*.png"))]
    assert all(np.array_equal(a, b) for a, b in zip(shown, wanted, strict=True))


def test_that_a_folder_given_up_before_its_first_frame_is_gone(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "frames", (96, 64), resume_key="job 1").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"resume_key": "job 2"}, {"resume_key": None}, {"size": (32, 32)}, {"fps": 30}])
def test_that_frames_of_another_export_are_never_mixed_in(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path / "frames", resume_key="job 1", count=2)
    arguments: dict[str, Any] = {"size": (96, 64), "resume_key": "job 1"} | change
    with pytest.raises(ExportError, match="holds other files"):
        VideoWriter(tmp_path / "frames", **arguments)


def test_that_a_folder_with_a_persons_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ExportError, match="holds other files"):
        VideoWriter(tmp_path / "frames", (96, 64), resume_key="job 1")
    with pytest.raises(ExportError, match=r"in the way|not a folder"):
        VideoWriter(tmp_path / "frames" / "holiday.jpg" / "frames", (96, 64))
    assert [p.name for p in (tmp_path / "frames").iterdir()] == ["holiday.jpg"]


def test_that_every_format_can_be_chosen_by_its_suffix(tmp_path: Path) -> None:
    for kind in FORMATS:
        assert write(tmp_path / f"video{kind.suffix}", (32, 32), count=2).exists()
        assert kind.title


def test_that_media_needs_neither_torch_nor_qt() -> None:
    code = (
        "import sys, facelab.media.picture, facelab.media.video, facelab.media.sheet\n"
        "print([m for m in ('torch', 'PySide6') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
