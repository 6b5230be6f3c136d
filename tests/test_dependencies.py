"""What the libraries below must not do, each shown by doing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_VOID_CALLS = """
import sys
from PySide6.QtCore import QCoreApplication, QObject, QPointF, QTimer, Signal
app = QCoreApplication([])

class Source(QObject):
    fired = Signal(object)

class Sink(QObject):
    seen = 0
    def take(self, value):
        self.seen += 1

source, sink, timer = Source(), Sink(), QTimer()
source.fired.connect(sink.take)
for i in range(20_000):
    timer.setInterval(i)
    source.setObjectName("x")
    source.fired.emit(i)
assert sink.seen == 20_000
# The same from another thread, through the event loop.
import threading
thread = threading.Thread(target=lambda: [source.fired.emit(i) for i in range(2_000)])
thread.start()
thread.join()
app.processEvents()
assert sink.seen == 22_000, sink.seen
print("sound", sys.getrefcount(None) > 0)
"""


def test_that_20000_void_calls_into_qt_do_not_abort() -> None:
    """PySide6 6.12.0 drops a reference to None in every void call on Python 3.10 and 3.11, and ends the process."""
    done = subprocess.run([sys.executable, "-c", _VOID_CALLS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound")


def test_that_sqlite_can_do_what_the_project_file_needs() -> None:
    """The log beside the file, upserts, and error codes on the exceptions."""
    import sqlite3

    assert sqlite3.sqlite_version_info >= (3, 24), "ON CONFLICT DO UPDATE"
    assert sqlite3.threadsafety >= 1
    with sqlite3.connect(":memory:") as db, pytest.raises(sqlite3.Error) as caught:
        db.execute("SELECT * FROM nowhere")
    db.close()
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_ERROR


def test_that_pillow_reads_the_text_that_facelab_writes() -> None:
    """Uncompressed iTXt over the megabyte at which Pillow refuses compressed text."""
    from io import BytesIO

    from PIL import Image, PngImagePlugin

    text = "x" * (3 << 20)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("facelab.recipe", text)
    file = BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG", pnginfo=info)
    file.seek(0)
    with Image.open(file) as image:
        assert image.text["facelab.recipe"] == text
