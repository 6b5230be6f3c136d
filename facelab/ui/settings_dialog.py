"""The settings dialog, made from the declarations in `facelab.settings`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.settings import GROUPS, SPECS, Settings, Spec
from facelab.ui import theme
from facelab.ui.dialogs import ask_open
from facelab.ui.messages import MessageBar
from facelab.ui.numbers import Number, Whole
from facelab.ui.session import Session
from facelab.ui.widgets import button, quiet

SIZE = 520, 476  # px, of the largest page: it stays as it is when another is turned to


class SettingsDialog(QDialog):
    """A page for each group, a control for each setting. What is changed holds at once."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(*SIZE)
        self._session = session
        self._show: dict[str, Callable[[Any], None]] = {}
        self.message = MessageBar()
        self.pages = QTabWidget()
        self.pages.setDocumentMode(True)
        for group in GROUPS:
            self.pages.addTab(QWidget(), group)
        self.pages.currentChanged.connect(self._fill)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Close | QDialogButtonBox.StandardButton.RestoreDefaults
        )
        buttons.rejected.connect(self.close)
        usual = buttons.button(QDialogButtonBox.StandardButton.RestoreDefaults)
        usual.setText("Restore defaults")
        usual.clicked.connect(self._defaults)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        column.addWidget(self.message)
        column.addWidget(self.pages, 1)
        column.addWidget(buttons)
        self._fill(0)

    def _fill(self, number: int) -> None:
        """Make a page when it is first shown: all at once would take longer than the window may wait."""
        page = self.pages.widget(number)
        if page is None or page.layout() is not None:
            return
        form = QFormLayout(page)
        form.setContentsMargins(*(2 * theme.GRID,) * 4)
        form.setHorizontalSpacing(2 * theme.GRID)
        form.setVerticalSpacing(theme.GRID)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for spec in SPECS:
            if spec.group == GROUPS[number]:
                field = QVBoxLayout()
                field.setSpacing(2)
                field.addWidget(self._control(spec))
                field.addWidget(quiet(spec.help, wrap=True, small=True))
                form.addRow(spec.label, field)
        self._refresh(self._session.settings)

    def _control(self, spec: Spec) -> QWidget:
        """The control for a setting, and in ``_show`` what shows a value in it."""
        match spec.kind:
            case "choice":
                box = QComboBox()
                for choice in spec.choices:
                    box.addItem(_words(choice), choice)
                box.activated.connect(lambda _: self._set(spec.name, box.currentData()))
                box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                self._show[spec.name] = lambda value: box.setCurrentIndex(spec.choices.index(value))
                made: QWidget = box
            case "switch":
                check = QCheckBox()
                check.clicked.connect(partial(self._set, spec.name))
                self._show[spec.name] = check.setChecked
                made = check
            case "integer" | "number":
                field: Whole | Number = Whole() if spec.kind == "integer" else Number()
                if isinstance(field, Number):
                    field.setDecimals(4 if (spec.low or 0) < 0.01 else 1)
                field.setRange(spec.low, spec.high)  # type: ignore[arg-type]
                field.setSuffix(f" {spec.unit}" if spec.unit else "")
                field.valueChanged.connect(partial(self._set, spec.name))
                self._show[spec.name] = partial(_show_number, field)
                made = field
            case _:
                line = QLineEdit(placeholderText="not set")
                line.editingFinished.connect(lambda: self._set(spec.name, line.text().strip() or None))
                self._show[spec.name] = lambda value: line.setText(value or "")
                line.setAccessibleName(spec.label)
                made = QWidget()
                row = QHBoxLayout(made)
                row.setContentsMargins(0, 0, 0, 0)
                row.addWidget(line, 1)
                row.addWidget(
                    button("Choose…", lambda: ask_open(self, spec.label, "All files (*)", lambda paths: self._set(spec.name, str(paths[0]))))
                )  # fmt: skip
        made.setAccessibleName(spec.label)
        made.setToolTip(spec.help)
        return made

    def _set(self, name: str, value: Any) -> None:
        if getattr(self._session.settings, name) == value:
            return
        self.message.hide()
        try:
            self._session.configure(**{name: value})
        except FacelabError as error:
            self.message.say(error)
        self._refresh(self._session.settings)

    def _defaults(self) -> None:
        try:
            self._session.configure(**{spec.name: spec.default for spec in SPECS if spec.group})
        except FacelabError as error:
            self.message.say(error)
        self._refresh(self._session.settings)

    def _refresh(self, settings: Settings) -> None:
        for name, show in self._show.items():
            show(getattr(settings, name))


def _words(choice: object) -> str:
    """A choice as it is shown; numbers among them are sides of pictures."""
    if isinstance(choice, int):
        return f"{choice} px" if choice else "As the generator draws"
    return {"const": "Constant"}.get(str(choice), str(choice).replace("_", " ").capitalize())


def _show_number(field: Whole | Number, value: float) -> None:
    field.blockSignals(True)
    field.setValue(value)  # type: ignore[arg-type]
    field.blockSignals(False)
