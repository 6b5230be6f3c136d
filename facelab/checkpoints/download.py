"""Fetches a file of the catalogue: resumes after a break, checks its sum, appears whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import facelab
from facelab.checkpoints.catalogue import Entry
from facelab.errors import DownloadError
from facelab.jobs import Progress

CHUNK = 1 << 18  # bytes between two places to cancel
TIMEOUT = 30.0  # seconds that a server may say nothing
ATTEMPTS = 5  # breaks in a row, each without a byte gained, before it is given up
LARGEST = 32 << 30  # bytes, where the size is not known

_busy: set[Path] = set()
_busy_lock = threading.Lock()


def download(entry: Entry, folder: Path | None = None, *, pause: float = 1.0) -> Generator[Progress, None, Path]:
    """Fetch an entry's file, or find that it is there already.

    Its terms are the caller's to show and to have accepted. What arrives is kept as ``.part`` beside the wanted file, so
    that closing the generator, a broken connection or a full disk lose nothing; the next call goes on from there if
    the server still has the same file. The proxies of the system and of the environment are used.

    Args:
        entry: what to fetch.
        folder: where to; by default the downloads in the person's data folder.
        pause: seconds before the first new attempt after a break, doubled each time.

    Yields:
        Progress in bytes; a total of 0 where it is not known. Each is a place to stop.

    Returns:
        The path of the whole, checked file.

    Raises:
        DownloadError: it cannot be fetched, is not what the catalogue says, or cannot be written.
    """
    target = entry.path(folder)
    if entry.by_hand:
        raise DownloadError(
            f"{entry.title} can only be fetched with a browser, from {entry.address}; then open the file"
        )
    if urlsplit(entry.address).scheme not in {"http", "https"}:
        raise DownloadError(f"{entry.address} is no web address")
    with _alone(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_file():
                if (yield from _checked(entry, target)) is None:
                    return target
                target.unlink()
            return (yield from _fetch(entry, target, pause))
        except OSError as error:
            raise DownloadError(
                f"{target.name} cannot be kept in {target.parent}: {error.strerror or error}"
            ) from error


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    with _busy_lock:
        if target in _busy:
            raise DownloadError(f"{target.name} is being downloaded already")
        _busy.add(target)
    try:
        yield
    finally:
        with _busy_lock:
            _busy.discard(target)


def _checked(entry: Entry, path: Path) -> Generator[Progress, None, str | None]:
    """Compare a file with what the catalogue, or the first download, says of it; returns what is wrong."""
    size = path.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        return f"it has {size:,} bytes, {entry.bytes:,} were expected"
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
            done += len(piece)
            yield Progress(done, size, "checking")
    found, expected = digest.hexdigest(), entry.sha256
    record = entry.path(path.parent).with_suffix(".sha256")
    if expected is None and record.is_file():
        expected = record.read_text("ascii", "replace").strip()
    if expected is None:
        record.write_text(found + "\n", "ascii")
    elif found != expected:
        return "its checksum is another than the one expected"
    return None


class _Broken(Exception):
    """The connection failed; what has arrived is kept and a new attempt is worth while."""


def _fetch(entry: Entry, target: Path, pause: float) -> Generator[Progress, None, Path]:
    part = target.with_name(target.name + ".part")
    stamp = target.with_name(target.name + ".part.json")
    failures, most = 0, _size(part)
    while True:
        try:
            yield from _transfer(entry, part, stamp)
            break
        except _Broken as error:
            # A server that cannot resume breaks at the same place for ever: only more than ever is a gain.
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures >= ATTEMPTS:
                raise DownloadError(
                    f"{entry.name} does not arrive ({error}); check the connection and try again, "
                    "what has arrived is kept"
                ) from error
            until = time.monotonic() + pause * 2 ** (failures - 1)
            while time.monotonic() < until:
                yield Progress(_size(part), entry.bytes or 0, "the connection broke; trying again")
                time.sleep(min(0.1, pause))
    wrong = yield from _checked(entry, part)
    if wrong is not None:
        part.unlink()
        stamp.unlink(missing_ok=True)
        raise DownloadError(f"{entry.name} arrived damaged or is another file: {wrong}; it was removed, try again")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)
    stamp.unlink(missing_ok=True)
    return target


def _transfer(entry: Entry, part: Path, stamp: Path) -> Generator[Progress, None, None]:
    """One connection: append to the part what it still lacks; raises when it ends early."""
    start, tag = _state(entry, part, stamp)
    request = urllib.request.Request(entry.address, headers={"User-Agent": f"facelab/{facelab.__version__}"})
    # A compressed answer would make bytes and ranges mean something else.
    request.add_header("Accept-Encoding", "identity")
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        response = urllib.request.build_opener(StaySafe()).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                if error.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                    return  # it had all arrived
                part.unlink()
                raise _Broken("the server has another file now") from error
            if error.code in {408, 425, 429, 500, 502, 503, 504}:
                raise _Broken(f"the server says {error.code} {error.reason}") from error
            raise DownloadError(f"the server refuses {entry.name}: {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(str(error) or type(error).__name__) from error
    with response:
        if response.status == 206 and start and _range_start(response.headers) == start:
            mode = "ab"
        else:  # the server does not resume, or the file has changed: from the start
            start, mode = 0, "wb"
        length = response.headers.get("Content-Length", "")
        announced = start + int(length) if length.isdigit() else None
        if entry.bytes is not None and announced is not None and announced != entry.bytes:
            raise DownloadError(
                f"the server offers {announced:,} bytes as {entry.name}, {entry.bytes:,} were expected; "
                "it may have been replaced"
            )
        total = announced or entry.bytes or 0
        limit = total or LARGEST
        free = shutil.disk_usage(part.parent).free
        if total - start > free:
            raise DownloadError(
                f"{entry.name} needs {(total - start) >> 20:,} MB, {free >> 20:,} MB are free in {part.parent}"
            )
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        with part.open(mode) as file:
            stamp.write_text(json.dumps({"address": entry.address, "tag": "" if tag.startswith("W/") else tag}))
            done = start
            while piece := _receive(response):
                done += len(piece)
                if done > limit:
                    raise DownloadError(f"the server sends more than {limit:,} bytes as {entry.name}; stopped")
                file.write(piece)
                yield Progress(done, total, "downloading")
        if total and done < total:
            raise _Broken(f"the connection ended after {done:,} of {total:,} bytes")


def _receive(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(str(error) or type(error).__name__) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _state(entry: Entry, part: Path, stamp: Path) -> tuple[int, str]:
    """(bytes that are there, the server's tag for them); 0 where they cannot be gone on with."""
    try:
        value: Any = json.loads(stamp.read_text("utf-8"))
        tag = value["tag"] if value["address"] == entry.address else ""
    except (OSError, ValueError, KeyError, TypeError):
        tag = ""
    if not isinstance(tag, str) or not tag.isprintable():
        tag = ""
    # Without a tag only the checksum can tell whether both parts are of one file.
    return (_size(part), tag) if tag or entry.sha256 else (0, "")


def _range_start(headers: Message) -> int | None:
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


class StaySafe(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from an encrypted address to a plain one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError("the server leads to an address that is not encrypted; it was not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
