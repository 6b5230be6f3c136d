"""All commands in one place: the palette (Ctrl+K) that finds them, and the sheet of shortcuts (F1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QAction, QColor, QFont, QKeyEvent, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QMenuBar,
    QScrollArea,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from facelab.ui import theme
from facelab.ui.widgets import keys_text, plain_text

COLUMNS = 3  # of the sheet of shortcuts
GAP = 4  # px, between its lines
WIDEST = (150, 210)  # px, of the keys and of what they do; longer texts are wrapped


def actions_of(bar: QMenuBar) -> list[tuple[str, QAction]]:
    """Every command of a menu bar, with the path of menus that leads to it: ("View › Theme", action)."""
    found: list[tuple[str, QAction]] = []

    def walk(menu: QMenu, path: str) -> None:
        for action in menu.actions():
            inner = action.menu()
            if isinstance(inner, QMenu):
                walk(inner, f"{path} › {_plain(action.text())}")
            elif not action.isSeparator() and action.text():
                found.append((path, action))

    for action in bar.actions():
        menu = action.menu()
        if isinstance(menu, QMenu):
            walk(menu, _plain(action.text()))
    return found


def score(wanted: str, text: str) -> float | None:
    """How well a text matches what was typed; None when it does not.

    The letters have to come in order. Those that begin a word or follow one another count more, and a short text wins.
    """
    text, total, at, run = text.lower(), 0.0, 0, 0
    for letter in wanted.lower():
        if letter == " ":
            run = 0
            continue
        place = text.find(letter, at)
        if place < 0:
            return None
        begins = place == 0 or not text[place - 1].isalnum()
        run = run + 1 if place == at and at else 0
        total += 3.0 * begins + 2.0 * min(run, 4) + 1.0
        at = place + 1
    return total - 0.02 * len(text)


ACTION, PATH, KEYS = (Qt.ItemDataRole.UserRole + i for i in range(3))
LINE = 28  # px


class _CommandLine(QStyledItemDelegate):
    """A command's name, the menu that it is in, and at the right its keys."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(100, LINE)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        c = theme.colours()
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        rect = option.rect.adjusted(theme.GRID, 0, -theme.GRID, 0)
        if chosen:
            painter.fillRect(option.rect, QColor(c.accent))
        middle = Qt.AlignmentFlag.AlignVCenter
        name = index.data()
        painter.setPen(QColor(c.on_accent if chosen else c.text))
        painter.drawText(rect, middle, name)
        painter.setPen(QColor(c.on_accent if chosen else c.quiet))
        after = painter.fontMetrics().horizontalAdvance(name) + 2 * theme.GRID
        painter.drawText(rect.adjusted(after, 0, 0, 0), middle, index.data(PATH))
        painter.drawText(rect, middle | Qt.AlignmentFlag.AlignRight, index.data(KEYS))


class CommandPalette(QDialog):
    """Type a part of a command's name, Enter does it."""

    def __init__(self, commands: Sequence[tuple[str, QAction]], parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Dialog | Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAccessibleName("Commands")
        self.setObjectName("palette")
        self.setStyleSheet(f"#palette {{ border: 1px solid {theme.colours().edge}; }}")
        self._commands = [(path, action) for path, action in commands if action.isEnabled()]
        self.field = QLineEdit(placeholderText="Type a command")
        self.field.setAccessibleName("Command")
        self.field.textChanged.connect(self._filter)
        self.field.installEventFilter(self)
        self.list = QListWidget()
        self.list.setAccessibleName("Commands found")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setUniformItemSizes(True)
        self.list.setItemDelegate(_CommandLine(self.list))
        self.list.itemClicked.connect(lambda _: self._do())
        column = QVBoxLayout(self)
        column.setContentsMargins(*(theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        column.addWidget(self.field)
        column.addWidget(self.list)
        self.setFixedSize(480, 360)
        self._filter("")
        middle = parent.mapToGlobal(parent.rect().center())
        self.move(middle.x() - 240, parent.mapToGlobal(parent.rect().topLeft()).y() + 72)

    def _filter(self, text: str) -> None:
        found = []
        for order, (path, action) in enumerate(self._commands):
            name = _plain(action.text())
            points = score(text, name)
            if points is None:
                points = score(text, f"{path} {name}")
                points = None if points is None else points - 5
            if points is not None:
                found.append((-points if text.strip() else 0, order, path, name, action))
        self.list.clear()
        for _, _, path, name, action in sorted(found, key=lambda f: f[:2]):
            item = QListWidgetItem(name)
            item.setData(ACTION, action)
            item.setData(PATH, path)
            item.setData(KEYS, action.shortcut().toString(QKeySequence.SequenceFormat.NativeText))
            self.list.addItem(item)
        self.list.setCurrentRow(0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                row = self.list.currentRow() + (1 if event.key() == Qt.Key.Key_Down else -1)
                self.list.setCurrentRow(min(max(row, 0), self.list.count() - 1))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._do()
                return True
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.WindowDeactivate:  # a click elsewhere
            self.close()
        return super().event(event)

    def _do(self) -> None:
        item = self.list.currentItem()
        self.close()
        if item is not None:
            item.data(ACTION).trigger()


class ShortcutSheet(QDialog):
    """Every key that does something."""

    def __init__(
        self,
        commands: Sequence[tuple[str, QAction]],
        others: Iterable[tuple[str, Sequence[tuple[str, str]]]],
        parent: QWidget,
    ) -> None:
        """
        Args:
            commands: of the menus.
            others: keys and gestures by the part of the window where they work: ("Plane", [("Wheel", "Zoom"), ...]).
        """
        super().__init__(parent)
        self.setWindowTitle("Shortcuts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        groups: dict[str, list[tuple[str, str]]] = {}
        for path, action in commands:
            if keys := keys_text(action.shortcuts()):
                groups.setdefault(path.split(" › ")[0], []).append((keys, plain_text(action)))
        for name, rows in others:
            if rows:
                groups.setdefault(name, []).extend(rows)
        content = QWidget()
        side_by_side = QHBoxLayout(content)
        side_by_side.setSpacing(4 * theme.GRID)
        for names in balanced({name: 2 + sum(map(self._lines, rows)) for name, rows in groups.items()}, COLUMNS):
            side_by_side.addWidget(_Keys({name: groups[name] for name in names}), 0, Qt.AlignmentFlag.AlignTop)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column_ = QVBoxLayout(self)
        column_.setContentsMargins(*(2 * theme.GRID,) * 4)
        column_.setSpacing(2 * theme.GRID)
        column_.addWidget(area, 1)
        column_.addWidget(buttons)
        self.resize(
            min(content.sizeHint().width() + 64, parent.width() - 40),
            min(content.sizeHint().height() + 110, parent.height() - 40),
        )

    def _lines(self, row: tuple[str, str]) -> int:
        """How many lines a row takes."""
        return max(
            -(-self.fontMetrics().horizontalAdvance(text) // most) for text, most in zip(row, WIDEST, strict=True)
        )


class _Keys(QWidget):
    """A column of the sheet, painted: to make a label for each of two hundred texts takes longer than the window may wait."""

    def __init__(self, groups: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        super().__init__()
        self.ensurePolished()
        measure, wrap = self.fontMetrics(), Qt.TextFlag.TextWordWrap
        texts = zip(*(row for rows in groups.values() for row in rows), strict=True)
        keys, what = (
            min(max(measure.horizontalAdvance(text) + 2 for text in column), most)
            for column, most in zip(texts, WIDEST, strict=True)
        )
        self._headings: list[tuple[QRect, str]] = []
        self._rows: list[tuple[QRect, str, QRect, str]] = []
        left, y = keys + 2 * theme.GRID, 0
        for name, rows in groups.items():
            y += theme.GRID if y else 0
            self._headings.append((QRect(0, y, left + what, measure.height()), name))
            y += measure.height() + GAP
            for pair in rows:
                high = max(
                    measure.boundingRect(QRect(0, 0, wide, 0), int(wrap), text).height()
                    for wide, text in zip((keys, what), pair, strict=True)
                )
                self._rows.append((QRect(0, y, keys, high), pair[0], QRect(left, y, what, high), pair[1]))
                y += high + GAP
        self.setFixedSize(left + what, y)
        said = [[name, *(f"{keys}: {what}" for keys, what in rows)] for name, rows in groups.items()]
        self.setAccessibleName("\n".join(line for lines in said for line in lines))

    def paintEvent(self, event: QPaintEvent) -> None:
        c, painter, wrap = theme.colours(), QPainter(self), int(Qt.TextFlag.TextWordWrap)
        for keys_at, keys, what_at, what in self._rows:
            painter.setPen(QColor(c.quiet))
            painter.drawText(keys_at, wrap, keys)
            painter.setPen(QColor(c.text))
            painter.drawText(what_at, wrap, what)
        font = self.font()
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        for at, name in self._headings:
            painter.drawText(at, 0, name)
        painter.end()


def balanced(lengths: Mapping[str, int], columns: int) -> list[list[str]]:
    """Names in so many columns, in their order, so that the longest column is as short as can be."""
    most = max(max(lengths.values(), default=0), -(-sum(lengths.values()) // columns))
    while True:
        made: list[list[str]] = [[]]
        for name, length in lengths.items():
            if made[-1] and sum(lengths[n] for n in made[-1]) + length > most:
                made.append([])
            made[-1].append(name)
        if len(made) <= columns:
            return made
        most += 1


def _plain(text: str) -> str:
    return text.replace("&", "").removesuffix("…")
