"""The catalogue, and downloads from a local server that breaks off, lies, ignores ranges and serves wrong bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facelab.checkpoints import catalogue
from facelab.checkpoints.catalogue import Entry
from facelab.checkpoints.download import ATTEMPTS, download
from facelab.errors import BadArgument, DownloadError
from facelab.jobs import Progress

DATA = bytes(range(256)) * 4000  # 1 MB
SUM = hashlib.sha256(DATA).hexdigest()


@dataclass
class Behaviour:
    """How the server misbehaves, and what it was asked."""

    data: bytes = DATA
    tag: str | None = '"one"'
    ranges: bool = True
    stop_after: list[int | None] = field(default_factory=list)  # bytes of each answer in turn; None is all
    announced: int | None = None  # a length that is a lie
    status: list[int] = field(default_factory=list)
    chunked: bool = False
    leads_to: str = ""
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            behaviour.asked.append(asked)
            if behaviour.leads_to and self.path == "/a.pkl":
                self.send_response(302)
                self.send_header("Location", behaviour.leads_to)
                self.end_headers()
                return
            status = behaviour.status.pop(0) if behaviour.status else 200
            if status != 200:
                self.send_error(status)
                return
            start, data = 0, behaviour.data
            same = self.headers.get("If-Range") in (None, behaviour.tag)
            if asked and behaviour.ranges and same:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(data)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            if behaviour.tag:
                self.send_header("ETag", behaviour.tag)
            if not behaviour.chunked:
                length = len(data) - start if behaviour.announced is None else behaviour.announced
                self.send_header("Content-Length", str(length))
            self.end_headers()
            stop = behaviour.stop_after.pop(0) if behaviour.stop_after else None
            self.wfile.write(data[start:] if stop is None else data[start : start + stop])

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/a.pkl", behaviour
        http.shutdown()
        thread.join()


def entry(address: str, size: int | None = len(DATA), sha256: str | None = SUM) -> Entry:
    return Entry(
        name="tiny", title="Tiny", kind="generator", family="stylegan2", resolution=16, c_dim=0, licence="CC0-1.0",
        licence_address="", address=address, bytes=size, sha256=sha256, by_hand=False,
    )  # fmt: skip


def finish(steps: Generator[Progress, None, Path]) -> tuple[list[Progress], Path]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def test_that_a_file_arrives_whole_with_progress(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, _ = server
    seen, path = finish(download(entry(address), tmp_path / "new"))
    assert path == tmp_path / "new" / "tiny.pkl"
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    arriving = [step.done for step in seen if step.message == "downloading"]
    assert arriving == sorted(arriving)
    assert arriving[-1] == len(DATA)
    assert {step.total for step in seen} == {len(DATA)}


def test_that_what_is_there_already_is_checked_and_not_fetched_again(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, behaviour = server
    finish(download(entry(address), tmp_path))
    finish(download(entry(address), tmp_path))
    assert len(behaviour.asked) == 1
    (tmp_path / "tiny.pkl").write_bytes(DATA[:-1] + b"x")
    _, path = finish(download(entry(address), tmp_path))
    assert path.read_bytes() == DATA
    assert len(behaviour.asked) == 2


@pytest.mark.parametrize("tag", ['"one"', None])
def test_that_a_broken_connection_is_taken_up_where_it_broke(
    tag: str | None, server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, behaviour = server
    behaviour.stop_after, behaviour.tag = [300_000, 300_000], tag
    _, path = finish(download(entry(address), tmp_path, pause=0.01))
    assert path.read_bytes() == DATA
    assert behaviour.asked == [None, "bytes=300000-", "bytes=600000-"]


def test_that_without_tag_and_checksum_it_starts_again_from_nothing(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, behaviour = server
    behaviour.stop_after, behaviour.tag = [300_000], None
    _, path = finish(download(entry(address, None, None), tmp_path, pause=0.01))
    assert path.read_bytes() == DATA
    assert behaviour.asked == [None, None]


def test_that_a_cancelled_download_goes_on_later(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    steps = download(entry(address), tmp_path)
    assert next(steps).done > 0
    steps.close()
    part = tmp_path / "tiny.pkl.part"
    kept = part.stat().st_size
    assert 0 < kept < len(DATA)
    assert not (tmp_path / "tiny.pkl").exists()
    _, path = finish(download(entry(address), tmp_path))
    assert path.read_bytes() == DATA
    assert behaviour.asked[-1] == f"bytes={kept}-"


def test_that_a_file_that_changed_in_between_is_fetched_anew(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    other = entry(address, None, None)
    steps = download(other, tmp_path)
    next(steps)
    steps.close()
    behaviour.data, behaviour.tag = DATA[::-1], '"two"'
    _, path = finish(download(other, tmp_path))
    assert path.read_bytes() == DATA[::-1]


def test_that_a_server_that_ignores_ranges_serves_from_the_start(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.ranges, behaviour.stop_after = False, [300_000]
    _, path = finish(download(entry(address), tmp_path, pause=0.01))
    assert path.read_bytes() == DATA


def test_that_a_part_that_is_already_whole_is_only_checked(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    (tmp_path / "tiny.pkl.part").write_bytes(DATA)
    _, path = finish(download(entry(address), tmp_path))
    assert path.read_bytes() == DATA
    assert behaviour.asked == [f"bytes={len(DATA)}-"]


def test_that_a_wrong_byte_is_found_and_nothing_is_left(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.data = DATA[:5000] + b"x" + DATA[5001:]
    with pytest.raises(DownloadError, match="checksum"):
        finish(download(entry(address), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_that_an_unknown_checksum_is_kept_from_the_first_download(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, behaviour = server
    _, path = finish(download(entry(address, None, None), tmp_path))
    assert (tmp_path / "tiny.sha256").read_text().strip() == SUM
    path.unlink()
    behaviour.data = DATA[:5000] + b"x" + DATA[5001:]
    with pytest.raises(DownloadError, match="checksum"):
        finish(download(entry(address, None, None), tmp_path))


def test_that_a_file_of_another_size_is_refused_before_it_arrives(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, _ = server
    with pytest.raises(DownloadError, match=r"1,024,000 bytes.*1,000 were expected"):
        finish(download(entry(address, 1000), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_that_a_server_that_lies_about_the_length_is_given_up(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.announced, behaviour.ranges = len(DATA) + 1000, False  # and then ends, each time
    with pytest.raises(DownloadError, match="does not arrive"):
        finish(download(entry(address, None, None), tmp_path, pause=0.001))
    assert len(behaviour.asked) == ATTEMPTS


def test_that_a_server_that_never_ends_is_stopped(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.chunked = True  # without a length, and more than was expected
    with pytest.raises(DownloadError, match="more than 1,000 bytes"):
        finish(download(entry(address, 1000), tmp_path))


def test_that_a_passing_refusal_is_waited_out_and_a_lasting_one_said(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, behaviour = server
    behaviour.status = [503, 429]
    _, path = finish(download(entry(address), tmp_path, pause=0.01))
    assert path.read_bytes() == DATA
    path.unlink()
    behaviour.status = [404]
    with pytest.raises(DownloadError, match="404"):
        finish(download(entry(address), tmp_path, pause=0.01))


def test_that_no_server_is_said_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="check the connection"):
        finish(download(entry("http://127.0.0.1:9/a.pkl"), tmp_path, pause=0.001))
    with pytest.raises(DownloadError, match="no web address"):
        finish(download(entry("file:///etc/passwd"), tmp_path))


def test_that_a_redirect_is_followed(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.leads_to = "/b.pkl"
    _, path = finish(download(entry(address), tmp_path))
    assert path.name == "tiny.pkl"


def test_that_the_proxy_of_the_environment_is_used(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, behaviour = server
    monkeypatch.setenv("http_proxy", address.removesuffix("/a.pkl"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    _, path = finish(download(entry("http://nowhere.invalid/a.pkl"), tmp_path))
    assert path.read_bytes() == DATA
    assert len(behaviour.asked) == 1


def test_that_two_downloads_of_one_file_do_not_mix(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, _ = server
    first = download(entry(address), tmp_path)
    next(first)
    with pytest.raises(DownloadError, match="already"):
        next(download(entry(address), tmp_path))
    _, path = finish(first)
    assert path.read_bytes() == DATA


def test_that_a_full_disk_is_said_and_what_came_is_kept(
    server: tuple[str, Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = server
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DownloadError, match="MB are free"):
        finish(download(entry(address), tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot be kept"):
        finish(download(entry(address), tmp_path / "file"))


def test_that_the_catalogue_is_whole() -> None:
    found = catalogue.entries()
    assert len({one.name for one in found}) == len(found) > 40
    assert len({one.file_name for one in found}) == len(found)
    for one in found:
        assert one.address.startswith("https://")
        assert one.licence
        assert one.licence_address.startswith("https://")
        assert one.sha256 is None or len(bytes.fromhex(one.sha256)) == 32
        assert one.by_hand or "." in one.file_name
    assert {one.family for one in found if one.kind == "generator"} == {
        "stylegan1", "stylegan2", "stylegan3-t", "stylegan3-r",
    }  # fmt: skip
    assert catalogue.find("stylegan2-ada-ffhq").bytes == 381_624_121
    with pytest.raises(BadArgument, match="no 'nothing'"):
        catalogue.find("nothing")


def test_that_what_needs_a_browser_says_so(tmp_path: Path) -> None:
    by_hand = replace(catalogue.find("stylegan-ffhq"))
    with pytest.raises(DownloadError, match="browser"):
        next(download(by_hand, tmp_path))
