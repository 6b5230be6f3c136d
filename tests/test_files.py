from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from facelab import files
from facelab.errors import ExportError, FacelabError
from facelab.files import replacing


def test_that_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert [p.name for p in tmp_path.iterdir()] == ["face.png"]


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("raised", [Cancelled, KeyboardInterrupt, FacelabError])
def test_that_an_old_file_survives_a_write_that_is_broken_off(tmp_path: Path, raised: type[BaseException]) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(b"old")

    def broken_off() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise raised

    with pytest.raises(raised):
        broken_off()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["face.png"]


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, "disk reports an error"), (errno.EBUSY, "choose another folder")],
)  # fmt: skip
def test_that_a_failing_disk_gives_one_sentence_and_leaves_nothing(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(ExportError, match=said) as caught, replacing(tmp_path / "face.png"):
        raise OSError(number, os.strerror(number))
    assert "'face.png'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_that_a_disk_that_fails_at_the_flush_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "face.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ExportError, match="disk is full"), replacing(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_that_devices_and_folders_are_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="device"), replacing("/dev/full"):
        pytest.fail("the body must not run")
    with pytest.raises(ExportError, match="folder of that name"), replacing(tmp_path):
        pytest.fail("the body must not run")


@pytest.mark.parametrize(
    ("name", "said"), [("gone/face.png", "folder does not exist"), ("x" * 300, "too long"), ("a\0b", "no file name")]
)
def test_that_an_impossible_name_is_said_before_any_work(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ExportError, match=said), replacing(f"{tmp_path}/{name}"):
        pytest.fail("the body must not run")


def test_that_the_longest_name_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".png")
    with replacing(path) as temporary:
        temporary.write_bytes(b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_that_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "face.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_that_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
