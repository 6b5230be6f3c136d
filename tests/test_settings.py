"""Settings: declared once, checked always, repaired aloud."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from facelab.errors import BadArgument, ExportError
from facelab.settings import (
    GROUPS,
    RECENT,
    SPECS,
    Settings,
    as_markdown,
    data_folder,
    default_project,
    load,
    save,
    settings_file,
    spec_of,
)


def test_that_settings_come_back_as_they_were_saved() -> None:
    settings = Settings(theme="light", threads=3, video_fps=25, vgg16="/models/vgg\udc8016.pt").remember(
        "recent_projects", Path("/a b/c.facelab")
    )
    save(settings)
    assert load() == (settings, [])
    assert settings.recent_projects == ("/a b/c.facelab",)
    assert isinstance(settings.video_fps, float)
    assert [f.name for f in settings_file().parent.iterdir()] == ["settings.json"]


def test_that_no_file_means_defaults_and_nothing_to_say() -> None:
    assert load() == (Settings(), [])
    assert default_project(Settings()) == data_folder() / "library.facelab"
    assert default_project(Settings(library_folder="/x")) == Path("/x/library.facelab")
    assert default_project(Settings(last_project="/y/z.facelab")) == Path("/y/z.facelab")


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_that_every_setting_is_declared_whole(spec: object) -> None:
    assert spec in SPECS
    s = spec_of(getattr(spec, "name", ""))
    assert s.label
    assert s.help.endswith(".")
    assert s.check(s.default) == s.default
    assert s.group in (*GROUPS, "")
    if s.group and s.kind not in ("path",):
        assert s.parse(s.show(s.default).removesuffix(s.unit)) == s.default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theme", "pink"), ("theme", 1), ("threads", -1), ("threads", 2.5), ("threads", True), ("threads", "4"),
        ("cache_megabytes", 10**400), ("video_fps", float("nan")), ("video_fps", None), ("encode_learning_rate", float("inf")),
        ("keep_recipe_in_exports", 1), ("vgg16", 5), ("vgg16", ""), ("vgg16", "a\0b"), ("recent_projects", "abc"), ("recent_projects", [1]),
        ("preview_coarse", True), ("video_size", 100), ("plane_tile", [64]),
    ],
)  # fmt: skip
def test_that_a_wrong_value_is_replaced_by_its_default_and_said(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(BadArgument, match=name):
        Settings(**{name: value})
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"version": 1, "video_seconds": 9, name: value}))
    settings, messages = load(path)
    assert settings == Settings(video_seconds=9)
    assert len(messages) == 1
    assert messages[0].startswith(name)
    assert "\n" not in messages[0]


def test_that_what_is_not_known_is_said(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"version": 7, "colour": "pink", "theme": "light"}')
    settings, messages = load(path)
    assert settings == Settings(theme="light")
    assert len(messages) == 2


@pytest.mark.parametrize(
    "contents", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"x"', b'{"a":' + b"9" * 5000 + b"}"]
)
def test_that_a_broken_file_is_set_aside_and_said(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(contents)
    settings, (message,) = load(path)
    assert settings == Settings()
    assert not path.exists()
    assert (tmp_path / "settings.json.broken").read_bytes() == contents
    assert "settings.json.broken" in message


def test_that_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    assert len(load(tmp_path)[1]) == 1
    with pytest.raises(ExportError):
        save(Settings(), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ExportError):
        save(Settings(), tmp_path / "file" / "settings.json")


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([s.name for s in SPECS]) | st.text(max_size=9),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
            max_leaves=4,
        ),
        max_size=6,
    )
)
def test_that_any_json_gives_sound_settings(tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    settings, messages = load(path)
    assert settings == Settings(**{s.name: getattr(settings, s.name) for s in SPECS})
    unsound = {k for k, v in value.items() if k != "version" and v != getattr(settings, k, object())}
    assert len(messages) >= len(unsound - {s.name for s in SPECS if s.kind in ("list", "number")})


def test_that_recent_files_are_few_and_the_last_comes_first() -> None:
    settings = Settings()
    for i in [*range(RECENT + 5), 10]:
        settings = settings.remember("recent_generators", f"/g{i}.pkl")
    assert settings.recent_generators[:2] == ("/g10.pkl", f"/g{RECENT + 4}.pkl")
    assert len(settings.recent_generators) == RECENT
    assert "/g10.pkl" not in settings.forget("recent_generators", "/g10.pkl").recent_generators


def test_that_the_command_line_parses_by_the_same_declarations() -> None:
    assert spec_of("threads").parse("4") == 4
    assert spec_of("keep_recipe_in_exports").parse("off") is False
    assert spec_of("video_fps").parse("29.97") == 29.97
    assert spec_of("vgg16").parse("none") is None
    assert spec_of("noise").parse("none") == "none"
    assert spec_of("preview_coarse").parse("32") == 32
    for name, text in (
        ("threads", "many"),
        ("theme", "x"),
        ("recent_projects", "x"),
        ("threads", "inf"),
        ("threads", "nan"),
    ):
        with pytest.raises(BadArgument):
            spec_of(name).parse(text)
    with pytest.raises(BadArgument, match="there is no setting"):
        Settings().change(colour="pink")


def test_that_the_page_of_settings_is_up_to_date() -> None:
    page = Path(__file__).parent.parent / "docs" / "settings.md"
    assert page.read_text() == as_markdown(), (
        "run: python -c 'import facelab.settings as s; print(s.as_markdown(), end=\"\")' > docs/settings.md"
    )
