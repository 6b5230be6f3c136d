"""The project file: what it keeps, what survives a kill, and what it refuses."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facelab import project as module
from facelab.errors import BadArgument, FacelabError, ProjectError
from facelab.latent.code import Code, Direction
from facelab.latent.recipe import Applied, Noise, Recipe
from facelab.project import Project
from facelab.store import schema

GENERATOR = "ab" * 32
PNG = b"\x89PNG not decoded here"


def code(seed: int = 0, *, noise: bool = False) -> Code:
    numbers = np.random.RandomState(seed)
    return Code(
        array=numbers.randn(6, 8), space="w+", generator=GENERATOR, origin={"photo": "me.jpg"},
        noise=(numbers.randn(4, 4), numbers.randn(8, 8)) if noise else None,
    )  # fmt: skip


def recipe(seed: int = 0) -> Recipe:
    direction = Direction(name="smile", vector=np.eye(8)[2], sigma=1.5, generator=GENERATOR)
    return Recipe(
        sources=(code(seed, noise=True), code(seed + 1), Code.from_seed(7, 8, GENERATOR)),
        weights=((1.0,), (0.25,), (0.0,)), psi=(0.7,), cutoff=3, directions=(Applied(direction, -1.25, (0, 4)),),
        noise=Noise("seed", 5, (0.5,)),
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.open(tmp_path / "faces.facelab") as opened:
        yield opened


def raw(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


# -- the library --------------------------------------------------------------------------------------------------------------
def test_that_a_face_comes_back_as_it_was_put_in(project: Project) -> None:
    quad = np.arange(8).reshape(4, 2)
    face = project.add_face(recipe(), " Trixie ", thumbnail=PNG, tags=["b", "a", "b", ""], photo="me.jpg", quad=quad)
    (row,) = project.faces()
    assert (row.id, row.name, row.tags, row.generator, row.has_photo) == (face, "Trixie", ("b", "a"), GENERATOR, True)
    assert project.recipe(face) == recipe()
    assert project.recipe(face).sources[0].noise is not None
    assert project.thumbnail(face) == PNG
    name, corners = project.photo(face) or ("", None)
    assert name == "me.jpg"
    assert corners is not None
    assert corners.tolist() == quad.tolist()


def test_that_a_project_comes_back_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "faces.facelab"
    with Project.open(path) as p:
        first = p.add_face(recipe(1), "one")
        p.set_meta("state", {"psi": 0.5})
    assert [f.name for f in path.parent.iterdir()] == ["faces.facelab"], "a closed project is one file"
    with Project.open(path) as p:
        assert p.recipe(first) == recipe(1)
        assert p.meta("state") == {"psi": 0.5}
        assert p.add_face(recipe(2), "two") > first
        assert p.check() == []


def test_that_faces_are_searched_by_words_in_name_and_tags(project: Project) -> None:
    for name, tags in (("Ängström Lee", ["queen"]), ("lee", []), ("Firkus", ["Queen", "night"])):
        project.add_face(recipe(), name, tags=tags)
    assert [f.name for f in project.faces("ÄNGSTRÖM")] == ["Ängström Lee"]
    assert [f.name for f in project.faces("queen le")] == ["Ängström Lee"]
    assert [f.name for f in project.faces(tag="Queen")] == ["Firkus"]
    assert [f.name for f in project.faces(order="name")] == ["Firkus", "lee", "Ängström Lee"]
    assert [f.name for f in project.faces(order="oldest")] == ["Ängström Lee", "lee", "Firkus"]
    assert [f.name for f in project.faces()] == ["Firkus", "lee", "Ängström Lee"]
    assert project.faces("%") == []
    assert project.tags() == ["night", "Queen", "queen"]
    with pytest.raises(BadArgument, match="ordered by"):
        project.faces(order="size")


def test_that_deleting_is_undone_by_restoring(project: Project) -> None:
    face, other = project.add_face(recipe(), "a", thumbnail=PNG), project.add_face(recipe(), "b")
    project.delete([face])
    assert [f.id for f in project.faces()] == [other]
    assert [f.id for f in project.faces(deleted=True)] == [face]
    project.restore([face])
    assert {f.id for f in project.faces()} == {face, other}
    assert project.thumbnail(face) == PNG


def test_that_purging_removes_photo_run_thumbnail_and_codes_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "faces.facelab"
    secret, crop = b"THUMBNAIL-OF-SOMEBODY" * 50, b"CROP-OF-SOMEBODY" * 5000
    with Project.open(path) as p:
        p.start_run("r1", GENERATOR, {}, "me", crop, "holiday-1987.jpg", None)
        p.keep_step("r1", 0, code(3).array)
        p.add_losses("r1", 0, {"total": [1.0]})
        p.finish_run("r1", "cancelled", code(3, noise=True))
        p.checkpoint("r1", 0, b"state")
        face = p.add_face(recipe(3), "me", thumbnail=secret, photo="holiday-1987.jpg", run="r1")
        twin = p.add_face(recipe(4), "me too", run="r1")
        p.flush()
        p.purge([face])
        assert [r.id for r in p.runs()] == ["r1"], "another face came from that run"
        p.purge([twin])
        assert (p.faces(), p.faces(deleted=True), p.runs(), p.thumbnail(face), p.kept_steps("r1")) == (
            [],
            [],
            [],
            None,
            [],
        )
        p.flush()
        bytes_left = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
        assert p.check() == []
    for trace in (b"SOMEBODY", b"holiday-1987", code(3).array.astype("<f4").tobytes()):
        assert trace not in bytes_left
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT (SELECT count(*) FROM arrays) + (SELECT count(*) FROM uses)").fetchone() == (0,)


def test_that_arrays_shared_by_faces_are_kept_once_and_as_long_as_needed(project: Project) -> None:
    a, b = project.add_face(recipe(), "a"), project.add_face(recipe(), "b")
    project.flush()
    with contextlib.closing(sqlite3.connect(project.path)) as db:
        kept = db.execute("SELECT count(*) FROM arrays").fetchone()
    assert kept == (5,), "two codes, two noise maps, one direction"
    project.purge([a])
    assert project.recipe(b) == recipe()


def test_that_ids_are_never_given_again(tmp_path: Path) -> None:
    path = tmp_path / "faces.facelab"
    with Project.open(path) as p:
        ids = [p.add_face(recipe(), str(i)) for i in range(module._ID_BLOCK + 3)]
        p.purge(ids[-2:])
        # A second window on the same file.
        with Project.open(path) as q:
            others = [q.add_face(recipe(), "q") for _ in range(3)]
        assert len(p.faces()) == len(ids) - 2 + 3
    with Project.open(path) as p:
        more = [p.add_face(recipe(), "m") for _ in range(3)]
    assert len({*ids, *others, *more}) == len(ids) + len(others) + len(more)


@pytest.mark.parametrize("name", ["a" * 1025, "Ω" * 2000])
def test_that_names_are_bounded(project: Project, name: str) -> None:
    with pytest.raises(BadArgument, match="shorten"):
        project.add_face(recipe(), name)
    face = project.add_face(recipe(), "bad \ud800 surrogate \0 and nul")
    assert project.face(face).name == "bad ? surrogate  and nul"


def test_that_missing_things_are_said(project: Project) -> None:
    for ask in (lambda: project.recipe(9), lambda: project.face(9), lambda: project.kept("r", 1)):
        with pytest.raises(ProjectError):
            ask()
    assert project.thumbnail(9) is None
    assert project.photo(9) is None
    assert project.last_checkpoint("r") is None
    assert project.losses("r") == {}
    project.set_thumbnail(9, PNG)
    project.keep_step("r", 0, np.zeros((2, 2)))
    project.add_losses("r", 0, {"total": [1.0]})
    project.checkpoint("r", 0, b"x")
    project.flush()
    assert project.check() == []


# -- runs -----------------------------------------------------------------------------------------------------------------------
def test_that_a_run_is_recorded_as_it_goes(project: Project) -> None:
    project.start_run("r", GENERATOR, {"steps": 500, "space": "w+"}, "me.jpg", PNG, "me.jpg", np.eye(4, 2))
    project.add_losses("r", 0, {"total": [5.0, 4.0], "pixels": [1.0, 0.5]})
    project.add_losses("r", 2, {"total": [3.0, float("nan")]})
    project.keep_step("r", 2, code(2).array)
    project.keep_step("r", 0, code(0).array)
    project.checkpoint("r", 3, b"one")
    project.checkpoint("r", 4, b"two")
    (row,) = project.runs()
    assert (row.id, row.status, row.steps_done, row.best, row.settings["steps"]) == ("r", "running", 4, 3.0, 500)
    curves = project.losses("r")
    np.testing.assert_array_equal(curves["total"], [5, 4, 3, np.nan])
    np.testing.assert_array_equal(curves["pixels"], [1, 0.5])
    assert project.kept_steps("r") == [0, 2]
    np.testing.assert_array_equal(project.kept("r", 2), code(2).array)
    assert project.last_checkpoint("r") == (4, b"two")
    assert project.target("r") == PNG
    project.finish_run("r", "done", code(9, noise=True))
    assert project.run_code("r") == code(9, noise=True)
    assert project.runs()[0].status == "done"
    assert project.last_checkpoint("r") is None
    project.delete_run("r")
    assert project.runs() == []


def test_that_a_resumed_run_overwrites_the_losses_after_its_checkpoint(project: Project) -> None:
    project.start_run("r", GENERATOR, {}, "me")
    project.add_losses("r", 0, {"total": [5.0, 4.0, 3.0, 2.0]})
    project.start_run("r", GENERATOR, {}, "me")
    project.add_losses("r", 2, {"total": [3.5]})
    project.add_losses("r", 5, {"total": [1.0]})
    np.testing.assert_array_equal(project.losses("r")["total"], [5, 4, 3.5, 2, np.nan, 1])


def test_that_checkpoints_do_not_eat_the_disk(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.start_run("r", GENERATOR, {}, "me")
    project.checkpoint("r", 0, b"first")
    project.flush()
    written = []
    project._writer._db.set_trace_callback(lambda sql: written.append(sql) if "INTO checkpoints" in sql else None)
    for step in range(200):
        project.checkpoint("r", step, b"x" * 1000)
        project.add_losses("r", step, {"total": [1.0]})
    assert project.last_checkpoint("r") == (199, b"x" * 1000)
    assert len(written) <= 2


def test_that_a_direction_is_kept(project: Project) -> None:
    d = Direction(name="age", vector=np.ones((2, 3)), sigma=2, generator=GENERATOR, layers=(0, 4), method="groups")
    project.add_direction(d)
    project.add_direction(d)
    assert project.directions() == [d]
    assert project.directions("other") == []
    other = replace(d, name="grin")
    project.add_direction(replace(d, name="tilt"))
    project.replace_direction(d, other)
    assert [kept.name for kept in project.directions()] == ["grin", "tilt"], "it keeps its place"
    project.delete_direction(other)
    assert [kept.name for kept in project.directions()] == ["tilt"]


def test_that_generators_are_remembered(project: Project) -> None:
    project.add_face(recipe(), "a")
    project.note_generator(GENERATOR, "/models/ffhq.pkl", "ffhq", family="stylegan2", resolution=1024)
    (g,) = project.generators()
    assert (g.sha256, g.path, g.resolution) == (GENERATOR, "/models/ffhq.pkl", 1024)
    assert project.faces()[0].resolution == 1024


def test_that_meta_takes_plain_json_only(project: Project) -> None:
    assert project.meta("none", 3) == 3
    for value in (float("nan"), {1, 2}, b"x"):
        with pytest.raises(BadArgument):
            project.set_meta("k", value)
    with pytest.raises(BadArgument):
        project.set_meta("facelab.next_id", 1)


# -- copies -----------------------------------------------------------------------------------------------------------------------
def test_that_a_copy_is_whole_and_one_file(project: Project, tmp_path: Path) -> None:
    face = project.add_face(recipe(), "a", thumbnail=PNG)
    copy = project.save_as(tmp_path / "copies.facelab")
    project.add_face(recipe(), "b")
    assert not copy.with_name(copy.name + "-wal").exists()
    with Project.open(copy) as p:
        assert [f.name for f in p.faces()] == ["a"]
        assert p.recipe(face) == recipe()
        with pytest.raises(FacelabError, match="choose another name"):
            project.save_as(copy)
    with pytest.raises(ProjectError, match="as itself"):
        project.save_as(project.path)
    with pytest.raises(FacelabError, match="folder"):
        project.save_as(tmp_path / "nowhere" / "x.facelab")


# -- survival ---------------------------------------------------------------------------------------------------------------------
_VICTIM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.project import Project

p = Project.open({path!r})
p.start_run("r", "ab" * 32, {{"steps": 9}}, "me", b"png")
i = 0
while True:
    w = np.full((6, 512), i, np.float32)
    p.add_face(Recipe.of(Code(array=w, space="w+", generator="ab" * 32)), f"face {{i}}", thumbnail=bytes(9000))
    p.add_losses("r", i, {{"total": [1.0 / (i + 1)]}})
    p.keep_step("r", i, w)
    p.checkpoint("r", i, w.tobytes())
    if i % 5 == 0:
        p.flush()
        print(i, flush=True)
    i += 1
"""


@pytest.mark.parametrize("after", [1, 7, pytest.param(60, marks=pytest.mark.slow)])
def test_that_nothing_saved_is_lost_by_a_kill(tmp_path: Path, after: int) -> None:
    path = tmp_path / "faces.facelab"
    script = _VICTIM.format(path=str(path), tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        told = -1
        for _ in range(after):
            told = int(victim.stdout.readline())
        time.sleep(0.003 * after)  # in the middle of whatever it does next
        victim.send_signal(signal.SIGKILL)
    with Project.open(path) as p:
        assert p.check() == []
        faces = p.faces(order="oldest")
        assert [f.name for f in faces[: told + 1]] == [f"face {i}" for i in range(told + 1)]
        for i, face in enumerate(faces):
            np.testing.assert_array_equal(p.recipe(face.id).sources[0].array, np.full((6, 512), i))
        (run,) = p.runs()
        assert run.status == "interrupted"
        assert run.steps_done > told
        assert p.kept_steps("r")[: told + 1] == list(range(told + 1))
        step, blob = p.last_checkpoint("r") or (-1, b"")
        assert step >= told
        assert blob == np.full((6, 512), step, np.float32).tobytes()
        assert p.add_face(recipe(), "after") > faces[-1].id
        p.start_run("r", GENERATOR, {}, "me")
        assert p.runs()[0].status == "running"


def test_that_a_forgotten_project_is_still_written(tmp_path: Path) -> None:
    path = tmp_path / "faces.facelab"
    p = Project.open(path)
    p.add_face(recipe(), "a")
    del p
    with Project.open(path) as q:
        assert [f.name for f in q.faces()] == ["a"]


def test_that_a_full_disk_is_told_once_and_nothing_is_lost_when_there_is_room_again(tmp_path: Path) -> None:
    told: list[ProjectError] = []
    with Project.open(tmp_path / "faces.facelab", on_error=told.append) as p:
        p.add_face(recipe(), "before")
        p.flush()
        p._writer._db.execute("PRAGMA max_page_count = 1")  # SQLite's own SQLITE_FULL
        face = p.add_face(recipe(), "during", thumbnail=bytes(200_000))
        p.rename(face, "after")
        for _ in range(2):
            with pytest.raises(ProjectError, match="disk is full; free some space"):
                p.flush()
        assert [f.name for f in p.faces()] == ["before"], "reading goes on"
        assert len(told) == 1
        p._writer._db.execute("PRAGMA max_page_count = 1000000")
        p.flush()
        assert [f.name for f in p.faces()] == ["after", "before"]
    assert len(told) == 1


def test_that_saving_to_another_disk_loses_nothing_of_what_a_full_one_refused(tmp_path: Path) -> None:
    p = Project.open(tmp_path / "full.facelab")
    before = p.add_face(recipe(0), "before")
    p.start_run("r", GENERATOR, {}, "me")
    p.flush()
    p._writer._db.execute("PRAGMA max_page_count = 1")
    during = p.add_face(recipe(1), "during", thumbnail=bytes(200_000))
    p.delete([before])
    p.checkpoint("r", 7, bytes(100_000))
    with Project.open(p.save_as(tmp_path / "rescued.facelab")) as q:
        assert q.recipe(during) == recipe(1)
        assert [f.name for f in q.faces()] == ["during"]
        assert q.last_checkpoint("r") == (7, bytes(100_000))
        assert q.check() == []
    with pytest.raises(ProjectError, match="3 changes were not saved"):
        p.close()


def test_that_a_project_that_could_not_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1")
        db.execute("CREATE TABLE t (x)")

    monkeypatch.setattr(schema, "MIGRATIONS", ((1000, full),))
    assert "disk is full" in refused(tmp_path / "x.facelab")
    assert list(tmp_path.iterdir()) == []


def test_that_closing_on_a_full_disk_says_how_much_is_lost(tmp_path: Path) -> None:
    p = Project.open(tmp_path / "faces.facelab")
    p.flush()
    p._writer._db.execute("PRAGMA max_page_count = 1")
    p.add_face(recipe(), "lost", thumbnail=bytes(200_000))
    with pytest.raises(ProjectError, match=r"disk is full.*1 changes were not saved"):
        p.close()
    p.close()
    with pytest.raises(ProjectError, match="closed"):
        p.faces()
    with pytest.raises(ProjectError, match="closed"):
        p.add_face(recipe(), "x") and p.flush()


def test_that_a_listener_may_come_later_and_its_bug_stops_no_write(project: Project) -> None:
    told: list[ProjectError] = []

    def listen(error: ProjectError) -> None:
        told.append(error)
        raise RuntimeError("the window is gone")

    project.on_error = listen
    project.flush()
    project._writer._db.execute("PRAGMA max_page_count = 1")
    project.add_face(recipe(), "a", thumbnail=bytes(200_000))
    with pytest.raises(RuntimeError, match="window is gone"):
        project.flush()
    project._writer._db.execute("PRAGMA max_page_count = 1000000")
    with contextlib.suppress(ProjectError):  # of a retry that began before there was room
        project.flush()
    project.flush()
    assert told
    assert [f.name for f in project.faces()] == ["a"]


def test_that_a_bug_in_one_write_stops_no_other(project: Project) -> None:
    project._writer.submit(lambda db: 1 / 0)
    project.add_face(recipe(), "a")
    with pytest.raises(ZeroDivisionError):
        project.flush()
    assert [f.name for f in project.faces()] == ["a"]


def test_that_a_read_waits_for_writes_of_its_own_kind_only(project: Project) -> None:
    face = project.add_face(recipe(), "a")
    project.flush()
    begun, go_on = threading.Event(), threading.Event()

    def large(db: sqlite3.Connection) -> None:
        begun.set()
        assert go_on.wait(20)

    project._writer.submit(large, "runs")
    assert begun.wait(20)
    project.set_meta("x", 1)
    assert [f.id for f in project.faces()] == [face]
    assert project.recipe(face) == recipe()
    threading.Timer(0.05, go_on.set).start()
    assert project.meta("x") == 1
    assert go_on.is_set()


def test_that_many_threads_may_use_a_project(project: Project) -> None:
    failures = []

    def work(n: int) -> None:
        try:
            for i in range(20):
                face = project.add_face(recipe(i), f"{n}.{i}")
                assert project.recipe(face) == recipe(i)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []
    assert len({f.id for f in project.faces()}) == 80


# -- files of others ---------------------------------------------------------------------------------------------------------------
def make(path: Path) -> int:
    with Project.open(path) as p:
        return p.add_face(recipe(), "a", thumbnail=PNG, tags=["t"])


def refused(path: Path) -> str:
    with pytest.raises(ProjectError) as caught:
        Project.open(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_that_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.facelab"
    for contents in (b"hello, I am no database" * 100, b"SQLite format 3\0" + bytes(4000), b"x"):
        path.write_bytes(contents)
        refused(path)
        assert path.read_bytes() == contents
    raw(tmp_path / "other.db", "CREATE TABLE songs (name)")
    assert "not a project" in refused(tmp_path / "other.db")
    assert "not a file" in refused(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "folder" in refused(tmp_path / "file" / "x.facelab")
    refused(Path("bad\0name"))


def test_that_an_empty_file_becomes_a_project(tmp_path: Path) -> None:
    path = tmp_path / "x.facelab"
    path.touch()
    make(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_that_a_project_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.facelab"
    make(path)
    path.chmod(0o444)
    assert "copy it" in refused(path)


def test_that_a_newer_major_is_refused_kindly_and_a_newer_minor_opens(tmp_path: Path) -> None:
    path = tmp_path / "x.facelab"
    make(path)
    raw(path, "PRAGMA user_version = 1999", "ALTER TABLE faces ADD COLUMN mood TEXT", "CREATE TABLE moods (name TEXT)")
    with Project.open(path) as p:
        assert [f.name for f in p.faces()] == ["a"]
        p.add_face(recipe(), "b")
        p.flush()
    raw(path, "PRAGMA user_version = 2000")
    assert "update facelab" in refused(path)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON faces BEGIN DELETE FROM faces; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (x)",
        "DROP TABLE losses",
        "ALTER TABLE faces ADD COLUMN x",
        "ALTER TABLE faces ADD COLUMN x AS (name || 'x')",
        "ALTER TABLE faces RENAME COLUMN name TO nom",
    ],
)
def test_that_a_foreign_schema_is_refused(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "x.facelab"
    make(path)
    raw(path, statement)
    assert "not opened" in refused(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE faces SET recipe = '{}'",
        "UPDATE faces SET recipe = 5",
        "UPDATE faces SET recipe = x'00ff'",
        "UPDATE faces SET recipe = '" + "[" * 5000 + "'",
        "UPDATE faces SET recipe = replace(recipe, '0.7', '1e999')",
        "UPDATE faces SET tags = 'x'",
        "UPDATE faces SET tags = '[1]'",
        "DELETE FROM arrays",
        "UPDATE arrays SET data = x'00'",
        "UPDATE arrays SET data = 7",
        "UPDATE arrays SET shape = '[1000000, 1000000]'",
        "UPDATE arrays SET shape = 'x'",
        "UPDATE arrays SET data = zeroblob(200000)",
    ],
)
def test_that_hostile_contents_are_a_sentence(tmp_path: Path, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ARRAYS", 100_000)
    path = tmp_path / "x.facelab"
    face = make(path)
    raw(path, statement)

    def look() -> None:
        with Project.open(path) as p:
            p.faces()
            p.recipe(face)

    with pytest.raises(ProjectError) as caught:
        look()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_that_a_damaged_file_never_raises_anything_but_a_sentence(tmp_path: Path) -> None:
    good = tmp_path / "good.facelab"
    with Project.open(good) as p:
        for i in range(12):
            p.add_face(recipe(i), f"{i}", thumbnail=PNG * 200)
        p.start_run("r", GENERATOR, {}, "me", PNG)
        p.add_losses("r", 0, {"total": [1.0]})
        p.keep_step("r", 0, code().array)
    contents = good.read_bytes()
    numbers = np.random.RandomState(0)
    complaints = []
    for trial in range(60):
        bad = bytearray(contents)
        if trial % 3 == 0:
            del bad[numbers.randint(len(bad)) :]
        else:
            at = numbers.randint(len(bad) - 64)
            bad[at : at + 64] = numbers.bytes(64)
            page = 4096 * numbers.randint(len(bad) // 4096)
            bad[page : page + 16] = numbers.bytes(16)
        path = tmp_path / f"{trial}.facelab"
        path.write_bytes(bad)
        try:
            with Project.open(path) as p:
                for row in p.faces():
                    p.thumbnail(row.id)
                    p.recipe(row.id)
                for run in p.runs():
                    p.losses(run.id)
                    p.kept(run.id, 0)
                p.add_face(recipe(), "new")
                p.flush()
        except ProjectError as error:
            complaints.append(str(error))
    assert len(complaints) > 20
    assert "\n" not in "".join(complaints)


def test_that_losses_of_a_hostile_file_take_no_memory(project: Project) -> None:
    project.start_run("r", GENERATOR, {}, "me")
    project.flush()
    project._writer._db.execute("INSERT INTO losses VALUES ('r', 'total', 999999999999, x'00000000')")
    with pytest.raises(ProjectError, match="damaged"):
        project.losses("r")


# -- tunings ------------------------------------------------------------------------------------------------------------------------
TUNING = "d" * 64


def test_that_a_tuning_is_kept_and_read_by_who_only_draws(project: Project) -> None:
    project.start_run("r", GENERATOR, {}, "me")
    project.add_tuning(TUNING, GENERATOR, b"delta", "r")
    project.add_tuning(TUNING, GENERATOR, b"delta", "r")
    assert project.tuning(TUNING) == b"delta"
    (row,) = project.tunings()
    assert (row.sha256, row.generator, row.run, row.size) == (TUNING, GENERATOR, "r", 5)
    project.flush()
    assert module.read_tuning(project.path, TUNING) == b"delta"
    assert module.read_tuning(project.path, "e" * 64) is None
    with pytest.raises(ProjectError):
        module.read_tuning(project.path.with_name("none.facelab"), TUNING)


def test_that_a_tuning_goes_with_the_last_face_that_needs_it(project: Project) -> None:
    project.start_run("r", GENERATOR, {}, "me")
    project.add_tuning(TUNING, GENERATOR, b"delta", "r")
    first = project.add_face(recipe().change(tuning=TUNING), "tuned", run="r")
    edited = project.add_face(recipe().change(tuning=TUNING, psi=(0.5,), cutoff=None), "edited")
    project.purge([first])
    assert project.tuning(TUNING) == b"delta", "the edited face is drawn with it"
    project.purge([edited])
    assert project.tuning(TUNING) is None
    project.close()
    assert TUNING.encode() not in project.path.read_bytes()


# -- migrations ---------------------------------------------------------------------------------------------------------------------
def _mood(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE faces ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")


def test_that_an_older_project_is_brought_to_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.facelab"
    face = make(path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (1999, _mood)))
    for _ in range(2):
        with Project.open(path) as p:
            assert p.recipe(face) == recipe()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1999,)
        assert db.execute("SELECT mood FROM faces").fetchall() == [("calm",)]


def test_that_a_failed_migration_leaves_the_project_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.facelab"
    face = make(path)

    def broken(db: sqlite3.Connection) -> None:
        _mood(db)
        db.execute("DELETE FROM faces")
        db.execute("SELECT nothing FROM nowhere")

    with monkeypatch.context() as m:
        m.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (1999, broken)))
        assert "cannot open" in refused(path)
    with Project.open(path) as p:
        assert p.recipe(face) == recipe()


def test_that_a_major_migration_leaves_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.facelab"
    face = make(path)
    with monkeypatch.context() as m:
        m.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (2000, _mood)))
        m.setattr(schema, "MAJOR", 2)
        Project.open(path).close()
    assert "update facelab" in refused(path)
    with Project.open(tmp_path / "x.v1.facelab") as p:
        assert p.recipe(face) == recipe()


def test_that_the_first_schema_is_as_it_was_published(tmp_path: Path) -> None:
    """A project of version 1.0, as SQL, opens for ever; a change of the schema is a new migration, never an edit of the first."""
    path = tmp_path / "x.facelab"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "data" / "project_1_0.sql").read_text())
        db.commit()
    with Project.open(path) as p:
        (row,) = p.faces()
        assert (row.name, row.tags, row.run) == ("Trixie", ("queen",), "r")
        assert p.recipe(row.id) == recipe()
        assert p.kept_steps("r") == [0]
        assert p.losses("r")["total"].tolist() == [0.5, 0.25]
        assert p.check() == []


# -- speed --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_five_thousand_faces_open_fast(tmp_path: Path) -> None:
    path = tmp_path / "x.facelab"
    with Project.open(path) as p:
        for i in range(5000):
            p.add_face(Recipe.of(code(i)), f"face {i}", thumbnail=bytes(8000), tags=["many"])
        p.flush()
    started = time.process_time()
    with Project.open(path) as p:
        rows = p.faces("face")
        taken = time.process_time() - started
        assert len(rows) == 5000
    assert taken < 1.0


def test_that_the_page_of_formats_describes_every_table_and_column() -> None:
    page = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()
    described: dict[str, set[str]] = {}
    table = ""
    for line in page[page.index("## Projects") :].splitlines():
        cells = line.split("|")
        if len(cells) > 4 and (names := re.findall(r"`([a-z0-9_]+)`", cells[2])):
            table = (re.findall(r"`(\w+)`", cells[1]) or [table])[0]
            described.setdefault(table, set()).update(names)
    assert described == schema.expected(schema.MIGRATIONS[-1][0])
