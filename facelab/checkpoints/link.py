"""Fetches a picture that a browser gave only a link to, after the person said so: small, encrypted or plain, whole or not at all."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import facelab
from facelab.checkpoints.download import CHUNK, TIMEOUT, StaySafe
from facelab.errors import DownloadError
from facelab.files import replacing
from facelab.jobs import Progress

LARGEST = 64 << 20  # bytes; a photograph of a phone has a tenth of it


def fetch_picture(address: str, path: Path) -> Generator[Progress, None, Path]:
    """Fetch a picture into a file.

    Args:
        address: http or https.
        path: where it goes; written under another name first.

    Yields:
        Progress in bytes; a total of 0 where it is not known. Each is a place to stop.

    Returns:
        The path.

    Raises:
        DownloadError: it cannot be fetched, is no picture, is too large, or cannot be written.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError("this is no address of a picture; save the picture in the browser and drop the file")
    request = urllib.request.Request(
        address, headers={"User-Agent": f"facelab/{facelab.__version__}", "Accept": "image/*"}
    )
    try:
        with urllib.request.build_opener(StaySafe()).open(request, timeout=TIMEOUT) as response:
            kind = response.headers.get_content_type()
            if not kind.startswith("image/"):
                raise DownloadError(
                    f"{parts.hostname} sends no picture there but {kind}; save the picture in the browser and drop the file"
                )
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else 0
            done = 0
            with replacing(path) as temporary, temporary.open("wb") as file:
                while piece := _piece(response):
                    done += len(piece)
                    if max(done, total) > LARGEST:
                        raise DownloadError(f"the picture has more than {LARGEST >> 20} MB; it was not fetched")
                    file.write(piece)
                    yield Progress(done, total, "fetching the picture")
                if done < total:
                    raise DownloadError(f"the connection to {parts.hostname} broke off; try again")
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DownloadError(
            f"the picture cannot be fetched from {parts.hostname} ({error}); save it in the browser and drop the file"
        ) from error
    return path


def _piece(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (http.client.HTTPException, OSError) as error:  # what the file raises has a sentence of its own
        raise DownloadError("the connection broke off; try again") from error
