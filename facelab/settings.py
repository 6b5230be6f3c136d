"""Settings: what a person chose once and for all, as one frozen value.

Each is declared once below, with its default, its range and its words; the settings dialog, the command line's help and
docs/settings.md derive from that. They lie as JSON in the person's configuration folder. A value in that file that is not
allowed is replaced by its default, and said; nothing is repaired in silence. Where docks lie is not a setting: the window keeps
that in a file of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import platformdirs

from facelab.errors import BadArgument
from facelab.files import replacing
from facelab.latent.path import EASINGS

VERSION = 1
RECENT = 12  # how many files the menus remember
_MAX_FILE = 1 << 20


@dataclass(frozen=True)
class Spec:
    """All that a dialog, a help text or a check has to know about one setting.

    Attributes:
        name: of the field in `Settings`.
        kind: "choice", "integer", "number", "switch", "path" or "list" (of paths).
        default: when nothing was chosen.
        label: what stands beside its control.
        help: one sentence on what it does.
        group: the page of the dialog; "" for those that the window sets by itself and no dialog shows.
        choices: the allowed values of a choice, in order.
        low, high: the range of a number, both allowed.
        unit: after the number, such as "MB".
        optional: whether None is allowed, which means that it was not chosen.
    """

    name: str
    kind: Literal["choice", "integer", "number", "switch", "path", "list"]
    default: Any
    label: str
    help: str
    group: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    optional: bool = False

    def check(self, value: Any) -> Any:
        """The value as it is kept.

        Raises:
            BadArgument: it is not allowed; the sentence says what is.
        """
        if value is None and self.optional:
            return None
        match self.kind:
            case "choice":
                if not any(type(value) is type(choice) and value == choice for choice in self.choices):
                    raise BadArgument(f"{self.name} is {' or '.join(map(str, self.choices))}, not {_show(value)}")
                return value
            case "switch":
                if type(value) is not bool:
                    raise BadArgument(f"{self.name} is true or false, not {_show(value)}")
                return value
            case "integer" | "number":
                return self._number(value)
            case "path":
                return self._path(value)
            case "list":
                if not isinstance(value, list | tuple):
                    raise BadArgument(f"{self.name} is a list of paths, not {_show(value)}")
                return tuple(dict.fromkeys(self._path(v) for v in value))[:RECENT]

    def _number(self, value: Any) -> int | float:
        whole = self.kind == "integer"
        fits = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) < 1e12  # neither infinite, nor NaN, nor an integer too long for a float
            and (not whole or value == int(value))
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
        )
        if not fits:
            raise BadArgument(
                f"{self.name} is a {'whole ' if whole else ''}number from {self.low:g} to {self.high:g}, not {_show(value)}"
            )
        return int(value) if whole else float(value)

    def _path(self, value: Any) -> str:
        if not isinstance(value, str | Path) or not str(value) or len(str(value)) > 4096 or "\0" in str(value):
            raise BadArgument(f"{self.name} is a path, not {_show(value)}")
        return str(value)

    def parse(self, text: str) -> Any:
        """The value of a text, as it is typed on a command line; "none" stands for None.

        Raises:
            BadArgument: it is not allowed.
        """
        if self.optional and text.strip().lower() == "none":
            return None
        if self.kind == "path":
            return self.check(text)
        if self.kind == "list":
            raise BadArgument(f"{self.name} is kept by the window and cannot be set")
        if self.kind == "choice" and text in self.choices:
            return text
        words: dict[str, Any] = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        value: Any = words.get(text.strip().lower(), text)
        if isinstance(value, str):
            try:
                number = float(value)
                value = int(number) if math.isfinite(number) and number == int(number) else number
            except ValueError:
                pass  # check says what is allowed
        return self.check(value)

    def show(self, value: Any) -> str:
        """A value in words."""
        if value is None:
            return "not set"
        if self.kind == "switch":
            return "on" if value else "off"
        return f"{value:g} {self.unit}".strip() if self.kind in ("integer", "number") else str(value)

    @property
    def range(self) -> str:
        """What is allowed, in words."""
        match self.kind:
            case "choice":
                return ", ".join(map(str, self.choices))
            case "integer" | "number":
                return f"{self.low:g} to {self.high:g} {self.unit}".strip()
            case "switch":
                return "on, off"
            case "path":
                return "a path"
            case "list":
                return "paths"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _setting(default: Any, label: str, help: str, group: str = "", **rest: Any) -> Any:
    return field(default=default, metadata={"label": label, "help": help, "group": group} | rest)


def _choice(default: Any, choices: tuple[Any, ...], label: str, help: str, group: str) -> Any:
    return _setting(default, label, help, group, choices=choices)


def _number(default: float, low: float, high: float, label: str, help: str, group: str, unit: str = "") -> Any:
    return _setting(default, label, help, group, low=low, high=high, unit=unit)


_LOOKS, _MACHINE, _ENCODING, _EXPORT, _FILES = "Appearance", "Machine", "Encoding", "Export", "Files"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A person's settings. Values are checked: a `Settings` that exists is sound.

    Raises:
        BadArgument: a value is not allowed.
    """

    theme: str = _choice(
        "dark", ("dark", "light", "system"), "Theme", "Colours of the window; system follows the desktop.", _LOOKS
    )
    preview_coarse: int = _choice(
        64, (16, 32, 64, 128, 256), "First preview", "Side in pixels of the coarse picture that comes first.", _LOOKS
    )
    preview_most: int = _number(
        1024, 64, 4096, "Largest preview", "Pictures on screen are not computed beyond this side.", _LOOKS, "px"
    )
    plane_tile: int = _choice(
        96, (48, 64, 96, 128, 192, 256), "Plane tile", "Side in pixels of one face of the plane on screen.", _LOOKS
    )
    device: str = _choice(
        "auto", ("auto", "cpu", "cuda", "mps"), "Device", "What computes the pictures; auto takes a GPU when there is one.",
        _MACHINE,
    )  # fmt: skip
    threads: int = _number(
        0, 0, 256, "Threads", "Processor threads for computing; 0 takes all cores. Applies at the next start.", _MACHINE
    )
    cache_megabytes: int = _number(
        512, 32, 65536, "Picture cache", "Memory for finished pictures and feature maps.", _MACHINE, "MB"
    )
    encode_steps: int = _number(500, 10, 20000, "Steps", "Gradient steps for encoding a photograph.", _ENCODING)
    encode_space: str = _choice(
        "w+", ("w", "w+"), "Space", "w+ comes nearer to the photograph, w stays easier to edit.", _ENCODING
    )
    encode_learning_rate: float = _number(
        0.05, 0.0001, 10, "Learning rate", "Size of a gradient step; too large a one never settles.", _ENCODING
    )
    vgg16: str | None = _setting(
        None, "VGG16 weights",
        "A torchvision or NVIDIA VGG16 file for the perceptual loss; without one the loss is pixels only.", _ENCODING, path=True,
    )  # fmt: skip
    video_seconds: float = _number(4.0, 0.1, 3600, "Length", "Of a new video.", _EXPORT, "s")
    video_fps: float = _number(30.0, 1, 120, "Pictures a second", "Of a new video.", _EXPORT)
    video_size: int = _choice(
        0, (0, 256, 512, 1024, 2048), "Size", "Side in pixels of a new video; 0 is the generator's own.", _EXPORT
    )
    video_easing: str = _choice("ease", tuple(EASINGS), "Easing", "How a new video moves from face to face.", _EXPORT)
    noise: str = _choice(
        "const",
        ("const", "none", "seed"),
        "Noise",
        "Of a new face: the generator's own, none, or drawn from its seed.",
        _EXPORT,
    )
    keep_recipe_in_exports: bool = _setting(
        True, "Keep the recipe in pictures", "An exported picture dropped on facelab restores its face.", _EXPORT
    )
    library_folder: str | None = _setting(
        None, "Library folder", "Where new projects are made; unset is the folder for your data.", _FILES, path=True
    )
    last_project: str | None = _setting(None, "Last project", "Opened at the next start.", path=True)
    recent_projects: tuple[str, ...] = _setting((), "Recent projects", "Projects in the File menu, the last first.")
    recent_generators: tuple[str, ...] = _setting((), "Recent generators", "Generators in the menu, the last first.")
    notice_accepted: bool = _setting(
        False, "Landmark notice read",
        "The landmark model was trained on pictures that may be used for research only; this was shown and accepted.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for spec in SPECS:
            object.__setattr__(self, spec.name, spec.check(getattr(self, spec.name)))

    def change(self, **values: Any) -> Settings:
        """A copy with some values changed.

        Raises:
            BadArgument: no such setting, or a value that is not allowed.
        """
        for name in values:
            spec_of(name)
        return dataclasses.replace(self, **values)

    def remember(self, name: str, path: str | Path) -> Settings:
        """A copy whose list ``name`` begins with ``path``."""
        now: tuple[str, ...] = getattr(self, spec_of(name).name)
        return self.change(**{name: (str(path), *(p for p in now if p != str(path)))})

    def forget(self, name: str, path: str | Path) -> Settings:
        """A copy whose list ``name`` lacks ``path``."""
        return self.change(**{name: tuple(p for p in getattr(self, name) if p != str(path))})


def _spec(declared: dataclasses.Field[Any], hint: Any) -> Spec:
    meta = dict(declared.metadata)
    path = meta.pop("path", False)
    kind: Any
    if "choices" in meta:
        kind = "choice"
    elif hint is bool:
        kind = "switch"
    elif path:
        kind = "path"
    elif get_origin(hint) is tuple:
        kind = "list"
    else:
        kind = {int: "integer", float: "number"}[hint]
    optional = isinstance(hint, types.UnionType) and types.NoneType in get_args(hint)
    return Spec(name=declared.name, kind=kind, default=declared.default, optional=optional, **meta)


def _specs() -> tuple[Spec, ...]:
    hints = get_type_hints(Settings)
    return tuple(_spec(f, hints[f.name]) for f in dataclasses.fields(Settings))


SPECS: tuple[Spec, ...] = _specs()
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(s.group for s in SPECS if s.group))


def spec_of(name: str) -> Spec:
    """What is declared of a setting.

    Raises:
        BadArgument: there is none of that name.
    """
    for spec in SPECS:
        if spec.name == name:
            return spec
    raise BadArgument(f"there is no setting {name!r}; there are {', '.join(s.name for s in SPECS if s.group)}")


# -- where things lie -----------------------------------------------------------------------------------------------------------
def config_folder() -> Path:
    """The person's folder for configuration; not made."""
    return platformdirs.user_config_path("facelab", appauthor=False)


def data_folder() -> Path:
    """The person's folder for data: projects, downloaded generators; not made."""
    return platformdirs.user_data_path("facelab", appauthor=False)


def default_project(settings: Settings) -> Path:
    """The project that opens when none was chosen."""
    if settings.last_project is not None:
        return Path(settings.last_project)
    folder = data_folder() if settings.library_folder is None else Path(settings.library_folder)
    return folder / "library.facelab"


def settings_file() -> Path:
    """Where `load` and `save` look unless they are told otherwise."""
    return config_folder() / "settings.json"


# -- the file -------------------------------------------------------------------------------------------------------------------
def load(path: Path | None = None) -> tuple[Settings, list[str]]:
    """The settings of a file, and a sentence for everything in it that had to be put right.

    A file that is missing gives the defaults and nothing to say. One that cannot be read at all is set aside under the name
    settings.json.broken, so that saving does not destroy it.
    """
    path = path or settings_file()
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return Settings(), []
    except OSError as error:
        return Settings(), [f"the settings {path} cannot be read ({error.strerror}); the defaults are used"]
    try:
        if len(data) > _MAX_FILE:
            raise ValueError("too long")
        value = json.loads(data.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError):
        aside = path.with_name(path.name + ".broken")
        try:
            path.replace(aside)
        except OSError:
            return Settings(), [f"the settings {path} are not whole; the defaults are used"]
        return Settings(), [f"the settings were not whole and lie as {aside} now; the defaults are used"]
    messages = []
    good = {}
    known = {spec.name: spec for spec in SPECS}
    for name, given in value.items():
        if name == "version":
            if given != VERSION:
                messages.append(
                    f"the settings are of version {_show(given)}, not {VERSION}; what is known of them is used"
                )
        elif name not in known:
            messages.append(f"there is no setting {_show(name)}; it is dropped")
        else:
            try:
                good[name] = known[name].check(given)
            except BadArgument as error:
                messages.append(f"{error}; {_show(known[name].default)} is used")
    return Settings(**good), messages


def save(settings: Settings, path: Path | None = None) -> None:
    """Write the settings, whole or not at all.

    Raises:
        ExportError: they cannot be written.
    """
    path = path or settings_file()
    text = json.dumps({"version": VERSION} | dataclasses.asdict(settings), indent=2)
    with contextlib.suppress(OSError):  # replacing says it in a sentence
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, "ascii")


def as_markdown() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "They lie in `settings.json` in your configuration folder: `~/.config/facelab` on Linux,",
        "`~/Library/Application Support/facelab` on macOS, `%LOCALAPPDATA%\\facelab` on Windows. A value that is not allowed is",
        "replaced by its default, and facelab says so. This page is made from the declarations in `facelab/settings.py`.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", "| setting | name | default | allowed | |", "|---|---|---|---|---|"]
        for s in SPECS:
            if s.group == group:
                lines.append(f"| {s.label} | `{s.name}` | {s.show(s.default)} | {s.range} | {s.help} |")
    return "\n".join(lines) + "\n"
