"""A picture behind a link is fetched whole, or not at all, and nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.checkpoints.link import LARGEST, fetch_picture
from facelab.engine.desk import Desk
from facelab.errors import DownloadError
from facelab.jobs import FetchPicture, Written

PICTURE = resource(SAMPLE_PHOTO).read_bytes()


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            if name == "gone.jpg":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8" if name == "page" else "image/jpeg")
            length = {"huge.jpg": LARGEST + 1, "cut.jpg": 2 * len(PICTURE)}.get(name, len(PICTURE))
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(PICTURE)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_that_a_picture_behind_a_link_comes_whole(address: str, tmp_path: Path) -> None:
    job = FetchPicture(address=f"{address}/me.jpg", path=tmp_path / "me.jpg")
    *_, last = Desk().run(job, threading.Event())
    assert last == Written(tmp_path / "me.jpg")
    assert (tmp_path / "me.jpg").read_bytes() == PICTURE


@pytest.mark.parametrize(
    ("name", "said"),
    [("page", "no picture there but text/html"), ("gone.jpg", "404"), ("huge.jpg", "64 MB"), ("cut.jpg", "broke off")],
)
def test_that_what_is_no_whole_picture_leaves_nothing(address: str, tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(DownloadError, match=said):
        list(fetch_picture(f"{address}/{name}", tmp_path / "me.jpg"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("link", ["file:///etc/passwd", "ftp://example.org/a.jpg", "http://", "data:image/png,"])
def test_that_only_the_web_is_asked(link: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no address"):
        list(fetch_picture(link, tmp_path / "me.jpg"))


def test_that_a_fetch_that_is_given_up_leaves_nothing(address: str, tmp_path: Path) -> None:
    fetching = fetch_picture(f"{address}/me.jpg", tmp_path / "me.jpg")
    next(fetching)
    fetching.close()
    assert not list(tmp_path.iterdir())
