"""Files appear whole or not at all: the one place where facelab replaces a file on disk."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from facelab.errors import ExportError

_NAME_BYTES = 255  # the longest file name of the usual file systems
_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file grows larger than this disk or account allows; choose another folder",
    errno.EACCES: "that folder or file may not be written; choose another folder",
    errno.EPERM: "that folder or file may not be written; choose another folder",
    errno.EROFS: "that disk is read-only; choose another folder",
    errno.ENOENT: "its folder does not exist; make it or choose another one",
    errno.ENOTDIR: "its folder is not a folder; choose another one",
    errno.EISDIR: "there is a folder of that name; choose another name",
    errno.EEXIST: "something of that name is in the way; choose another name",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
    errno.EIO: "the disk reports an error; choose another folder",
}


def cannot_write(path: str | os.PathLike[str], error: OSError) -> ExportError:
    """The sentence for a file that the system would not let us write."""
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        advice = f"{error.strerror or error or 'the system refused'}; choose another folder"
    return ExportError(f"cannot write {Path(path).name!r}: {advice}")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write; on leaving, it becomes ``path`` in one step.

    The temporary file lies in the same folder and keeps the suffix, by which writers know their
    format. It is flushed to the disk before it takes the name, so a crash or a loss of power leaves
    the old file or the new one. When the body raises anything (a cancel too), it is removed and
    ``path`` stays as it was.

    Raises:
        ExportError: the file cannot be written; every ``OSError`` of the body becomes one.
    """
    wanted = Path(path)
    try:
        # A link is followed, so that the file it points to is replaced and the link stays.
        target = Path(os.path.realpath(wanted))
        if target.exists() and not target.is_file():
            raise ExportError(f"cannot write {wanted.name!r}: {_obstacle(target)}; choose another name")
        temporary = _temporary(target)
    except OSError as error:
        raise cannot_write(wanted, error) from error
    except ValueError as error:  # a NUL in the name
        raise ExportError(f"cannot write {str(wanted)!r}: that is no file name; choose another name") from error
    try:  # from before the file is there: a signal may end the process's work between any two lines
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        if os.name != "nt":  # some writers make a private file of their own and move it here
            temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(target)
    except OSError as error:
        raise cannot_write(wanted, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # after a replace there is nothing of that name
    with contextlib.suppress(OSError):  # the file is whole; only its name could still be lost with the power
        _flush(target.parent)


def _obstacle(target: Path) -> str:
    return "there is a folder of that name" if target.is_dir() else "that is a device, not a file"


def _temporary(target: Path) -> Path:
    ending = f".{secrets.token_hex(4)}.part{target.suffix}"
    stem = os.fsencode(f".{target.stem}")[: _NAME_BYTES - len(os.fsencode(ending))]
    return target.with_name(stem.decode("utf-8", "ignore") + ending)


def _flush(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk."""
    if os.name == "nt":
        if path.is_dir():
            return  # Windows cannot open a folder; it journals names itself
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0)
    else:
        flags = os.O_RDONLY
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
