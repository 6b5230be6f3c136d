"""Arithmetic on faces: a line such as ``trixie + 2/3*(A - B)`` that is computed while it is typed."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QStringListModel, Qt, QTimer
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import (
    QCompleter,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QListWidget,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import Answer, Codes, GeneratorInfo, Images, Resolve, Thumbnails
from facelab.latent.code import Code, Floats
from facelab.latent.expression import Expression, ExpressionError, distance_in_sigmas, parse, quoted
from facelab.latent.recipe import Recipe
from facelab.latent.spaces import layer_groups
from facelab.ui import theme
from facelab.ui.face_view import FaceView
from facelab.ui.panels.base import Panel
from facelab.ui.session import Session, State
from facelab.ui.widgets import button, heading, quiet
from facelab.worker import Client

WAIT_MS = 200  # after the last key
SIDE = 112
FAR = 1.6  # typical distances from the mean face; the generator's own faces rarely lie further out
KEPT = 20  # expressions remembered in a project
AVERAGE = "average"  # the name of the mean face
FUNCTIONS = ("mean(", "lerp(", "slerp(", "seed(")
HELP = "Name faces of the library, A and B of the mixer, seed(7), average. Use + − * /, mean, lerp, slerp, and a[0:4] for layers."
EXAMPLES = (
    "mean(seed(1), seed(2), seed(3))",
    "lerp(average, A, 1.4)",
    "A + 2/3*(seed(3) - seed(4))",
    "A[0:4] + seed(9)[4:]",
)


class Line(QLineEdit):
    """The line; a name is completed at the cursor, not at the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self._words = QStringListModel()
        self._completer = QCompleter(self._words, self)
        self._completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._completer.setWidget(self)
        self._popup = QListView()
        self._completer.setPopup(self._popup)
        self._completer.activated.connect(self._insert)
        self.textEdited.connect(lambda _: self._complete())

    def set_words(self, words: list[str]) -> None:
        self._words.setStringList(words)

    def word(self) -> str:
        """What is being typed before the cursor."""
        before = self.text()[: self.cursorPosition()]
        at = len(before)
        while at and (before[at - 1].isalnum() or before[at - 1] in "_'"):
            at -= 1
        return before[at:]

    def _complete(self) -> None:
        word = self.word()
        popup = self._popup
        if len(word.strip("'")) < 1 or word.isdigit():
            popup.hide()
            return
        self._completer.setCompletionPrefix(word)
        if self._completer.completionCount() == 0 or self._completer.currentCompletion() == word:
            popup.hide()
            return
        popup.setCurrentIndex(self._completer.completionModel().index(0, 0))
        self._completer.complete()

    def _insert(self, chosen: str) -> None:
        word, at, text = self.word(), self.cursorPosition(), self.text()
        self.setText(text[: at - len(word)] + chosen + text[at:])
        self.setCursorPosition(at - len(word) + len(chosen))
        self.textEdited.emit(self.text())


class Pointer(QWidget):
    """A small wedge under the character where an expression goes wrong."""

    def __init__(self, line: QLineEdit) -> None:
        super().__init__()
        self._line = line
        self._position: int | None = None
        self.setFixedHeight(8)

    def point(self, position: int | None) -> None:
        """Point at a character, or at nothing."""
        self._position = position
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._position is None:
            return
        metrics = QFontMetrics(self._line.font())
        # The line scrolls: where its cursor is drawn tells by how much.
        cursor = self._line.cursorRect().center().x()
        to_cursor = metrics.horizontalAdvance(self._line.text()[: self._line.cursorPosition()])
        x = cursor - to_cursor + metrics.horizontalAdvance(self._line.text()[: self._position]) + 4
        x = min(max(x, 6), self.width() - 6)
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(theme.colours().link))
        rect = QRectF(x - 5, 1, 10, 6)
        p.drawPolygon(
            QPolygonF([rect.bottomLeft(), rect.bottomRight(), rect.center() - rect.bottomLeft() + rect.topLeft()])
        )
        p.end()


class ArithmeticPanel(Panel):
    """Computes a face from others by a typed expression."""

    title = "Arithmetic"
    area = Qt.DockWidgetArea.RightDockWidgetArea
    hint = "Add, subtract and average faces by a typed line"
    keys = (("Enter", "Take the face that the line comes to"), ("A, B, …", "The mixer's faces, in the line"))

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._known: dict[str, Floats] = {}  # resolved rows by the digest of their recipe
        self._number = 0
        self._code: Code | None = None
        self._take_when_ready = False
        self.line = Line()
        self.line.setPlaceholderText("trixie + 2/3*(A - B)")
        self.line.setAccessibleName("Expression")
        self.line.setToolTip(
            "Names of library faces, A and B of the mixer, seed(7), average; + - * /, mean, lerp, slerp, a[0:4]"
        )
        self.line.setClearButtonEnabled(True)
        self.pointer = Pointer(self.line)
        self.note = quiet(HELP, wrap=True, small=True)
        self.note.setAlignment(Qt.AlignmentFlag.AlignTop)
        # It takes the room beside the picture; asked for its height, it would press the dock above together.
        self.note.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
        self.view = FaceView("The face that the line comes to", side=SIDE, hint="The result")
        self.view.setToolTip("Drag it, or click to take it")
        self.view.clicked.connect(self.take)
        self.take_button = button("Take", self.take, tip="Make it the current face (Enter)", primary=True)
        self.pull_in = button(
            "Pull in", self._pull_in, tip="Truncate, so that the face lies as far out as the generator's own"
        )
        self.pull_in.hide()
        self.take_button.setEnabled(False)
        self._past = QListWidget()
        self._past.setMinimumHeight(48)
        self._past.setAccessibleName("Earlier expressions")
        self._past.setToolTip("Click to take it up again")
        self._past.itemClicked.connect(lambda item: self.set_text(item.text()))
        self._past.itemActivated.connect(lambda item: self.set_text(item.text()))
        self._past_title = heading("For example")

        words = QVBoxLayout()
        words.setSpacing(theme.GRID)
        words.addWidget(self.note, 1)
        words.addWidget(self.take_button, 0, Qt.AlignmentFlag.AlignLeft)
        words.addWidget(self.pull_in, 0, Qt.AlignmentFlag.AlignLeft)
        row = QHBoxLayout()
        row.setSpacing(2 * theme.GRID)
        row.addWidget(self.view, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        column = QVBoxLayout()
        column.setContentsMargins(*(theme.GRID,) * 4)
        column.setSpacing(4)
        column.addWidget(self.line)
        column.addWidget(self.pointer)
        column.addLayout(row)
        column.addSpacing(4)
        column.addWidget(self._past_title)
        column.addWidget(self._past, 100)
        column.addStretch(1)
        self.body.addLayout(column)

        self._later = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._later.timeout.connect(self._compute)
        self.line.textChanged.connect(self._typed)
        self.line.returnPressed.connect(self._enter)
        session.changed.connect(self._changed)
        session.generator_changed.connect(lambda _: self._begin_anew())
        session.project_changed.connect(lambda _: self._begin_anew())
        session.library_changed.connect(self._library_changed)
        self._begin_anew()

    # -- names ------------------------------------------------------------------------------------------------------
    def names(self) -> dict[str, Recipe]:
        """The faces that a line can name: the library's, of this generator, and the mixer's as A, B, ..."""
        info = self.session.generator
        if info is None:
            return {}
        found: dict[str, Recipe] = {}
        for index, slot in enumerate(self.session.state.slots):
            if slot is not None and slot.generator == info.sha256:
                found[chr(ord("A") + index)] = slot
        return found

    def _faces(self, expression: Expression) -> dict[str, Recipe]:
        """The recipe of each face that an expression names."""
        info = self.session.generator
        assert info is not None
        found = self.names()
        wanted = {name for name in expression.names if name not in found and name != AVERAGE}
        if wanted:
            for row in self.session.project.faces():
                if row.name in wanted and row.generator == info.sha256:
                    found[row.name] = self.session.project.recipe(row.id)
                    wanted.discard(row.name)
        if wanted:
            name = next(n for n in expression.names if n in wanted)
            raise ExpressionError(
                f"there is no face {name!r} of this generator in the library", max(0, expression.text.find(name))
            )
        return {name: found[name] for name in expression.names if name != AVERAGE}

    def _fill_words(self) -> None:
        info = self.session.generator
        names = [] if info is None else [r.name for r in self.session.project.faces() if r.generator == info.sha256]
        self.line.set_words([*self.names(), AVERAGE, *FUNCTIONS, *dict.fromkeys(quoted(n) for n in names)])

    # -- what is typed ----------------------------------------------------------------------------------------------
    def set_text(self, text: str) -> None:
        """Put an expression on the line."""
        self.line.setText(text)

    def _typed(self) -> None:
        self._take_when_ready = False
        self._code = None
        self.take_button.setEnabled(False)
        self.pull_in.hide()
        self.pointer.point(None)
        self._later.start()

    def _enter(self) -> None:
        if self._code is not None:
            self.take()
        elif self.line.text().strip():
            self._later.stop()
            self._take_when_ready = True
            self._compute()

    def _compute(self) -> None:
        info, text = self.session.generator, self.line.text()
        self._number += 1
        self.unsay()
        if info is None or not text.strip():
            self._show(None, HELP)
            return
        try:
            expression = parse(text)
            faces = self._faces(expression)
        except FacelabError as error:
            self._wrong(error)
            return
        label = self.session.label
        seeds = {seed: Recipe.of(Code.from_seed(seed, info.z_dim, info.sha256, label)) for seed in expression.seeds}
        missing = {r.digest: r for r in (*faces.values(), *seeds.values()) if r.digest not in self._known}
        if not missing:
            self._evaluate(expression, faces, seeds, info)
            return
        recipes = tuple(missing.values())
        number = self._number
        self.submit(
            Resolve(recipes=recipes),
            lambda answer: self._resolved(number, recipes, expression, faces, seeds, info, answer),
        )

    def _resolved(
        self, number: int, recipes: tuple[Recipe, ...], expression: Expression, faces: dict[str, Recipe],
        seeds: dict[int, Recipe], info: GeneratorInfo, answer: Answer,
    ) -> None:  # fmt: skip
        if isinstance(answer, Codes):
            self._known |= {recipe.digest: code.array for recipe, code in zip(recipes, answer.codes, strict=True)}
            if number == self._number:
                self._evaluate(expression, faces, seeds, info)

    def _evaluate(
        self, expression: Expression, faces: dict[str, Recipe], seeds: dict[int, Recipe], info: GeneratorInfo
    ) -> None:
        values = {name: self._known[recipe.digest] for name, recipe in faces.items()} | {AVERAGE: info.w_avg}
        try:
            result = expression.evaluate(
                values,
                {seed: self._known[recipe.digest] for seed, recipe in seeds.items()},
                num_ws=info.num_ws,
                groups=layer_groups(info.family, info.num_ws),
            )
        except FacelabError as error:
            self._wrong(error)
            return
        code = Code(array=result.ws, space="w+", generator=info.sha256, origin={"expression": expression.text.strip()})
        far = distance_in_sigmas(result.ws, info.w_avg, info.w_std)
        said = f"{far:.1f} times as far from the average as a typical face"
        said = f"Far out: {said}." if far > FAR else f"{said[0].upper()}{said[1:]}."
        if result.note:
            said += f" {result.note[0].upper()}{result.note[1:]}."
        self._show(code, said, far=far > FAR)
        number = self._number
        self.submit(Thumbnails(recipes=(Recipe.of(code),), resolution=SIDE), lambda answer: self._drawn(number, answer))
        if self._take_when_ready:
            self.take()

    def _drawn(self, number: int, answer: Answer) -> None:
        if isinstance(answer, Images) and number == self._number:
            self.view.set_pixels(answer.pixels[0])

    def _show(self, code: Code | None, said: str, far: bool = False) -> None:
        self._code = code
        self.view.set_face(None if code is None else Recipe.of(code))
        self.view.set_waiting(code is not None)
        self.note.setText(said)
        self.take_button.setEnabled(code is not None)
        self.pull_in.setVisible(far)
        self.pointer.point(None)

    def _wrong(self, error: FacelabError) -> None:
        self._take_when_ready = False
        said = str(error)
        self._show(None, f"{said[:1].upper()}{said[1:]}.")
        if isinstance(error, ExpressionError):
            self.pointer.point(error.position)

    # -- what comes of it -------------------------------------------------------------------------------------------
    def take(self) -> None:
        """Make the result the current face, and remember the expression."""
        self._take_when_ready = False
        if self._code is not None:
            self._remember(str(self._code.origin["expression"]))
            self.session.take(Recipe.of(self._code), "Compute face")

    def _pull_in(self) -> None:
        info = self.session.generator
        if self._code is not None and info is not None:
            far = distance_in_sigmas(self._code.array, info.w_avg, info.w_std)
            self._remember(str(self._code.origin["expression"]))
            self.session.take(Recipe.of(self._code).change(psi=(round(1 / far, 3),)), "Compute face")

    def _remember(self, text: str) -> None:
        past = [text, *(t for t in self._earlier() if t != text)][:KEPT]
        self.session.project.set_meta("expressions", past)
        self._show_past(past)

    def _earlier(self) -> list[str]:
        try:
            kept = self.session.project.meta("expressions", [])
        except FacelabError as error:
            self.say(error)
            return []
        return [t for t in kept if isinstance(t, str)] if isinstance(kept, list) else []

    def _show_past(self, past: list[str]) -> None:
        self._past.clear()
        self._past.addItems(past or EXAMPLES)
        self._past_title.setText("Earlier" if past else "For example")

    # -- following the session --------------------------------------------------------------------------------------
    def _begin_anew(self) -> None:
        self._known.clear()
        self.setEnabled(self.session.generator is not None)
        self._show_past(self._earlier())
        self._library_changed()

    def _library_changed(self) -> None:
        self._fill_words()
        if self.line.text().strip():
            self._later.start()

    def _changed(self, after: State, before: State) -> None:
        if after.slots != before.slots:
            self._fill_words()
            if self.line.text().strip():
                self._later.start()
