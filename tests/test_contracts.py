"""The layers of the house: imports go downwards, and what the window is made of starts without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What may be loaded before the window is painted may not lead to any of these.
HEAVY = ("torch", "scipy", "sklearn", "cv2", "dlib", "av", "pandas", "matplotlib")
LIGHT = (
    "facelab",
    "facelab.latent",
    "facelab.jobs",
    "facelab.assets",
    "facelab.files",
    "facelab.settings",
    "facelab.project",
    "facelab.runs",
)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_that_imports_go_downwards_only() -> None:
    lint = Path(sys.executable).with_name("lint-imports.exe" if sys.platform == "win32" else "lint-imports")
    done = subprocess.run([lint, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_that_all_latent_maths_is_numpy_alone() -> None:
    modules = [f"facelab.latent.{p.stem}" for p in (ROOT / "facelab" / "latent").glob("*.py") if p.stem != "__init__"]
    assert len(modules) >= 7
    loaded = loaded_by(f"import {', '.join(modules)}")
    assert loaded & {"numpy"}
    assert not loaded & {*HEAVY, "PySide6", "PIL"}


@pytest.mark.parametrize("module", LIGHT)
def test_that_what_lies_below_the_worker_loads_neither_torch_nor_qt(module: str) -> None:
    assert not loaded_by(f"import {module}") & {*HEAVY, "PySide6", "pyqtgraph"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["facelab.worker", "facelab.ui.main_window", "facelab.app", "facelab.cli", "facelab.__main__"]
)
def test_that_the_window_is_there_before_torch(module: str) -> None:
    path = ROOT / (module.replace(".", "/") + ".py")
    assert path.exists()
    assert not loaded_by(f"import {module}") & set(HEAVY)


@pytest.mark.slow
def test_that_every_panel_is_made_without_torch() -> None:
    assert not loaded_by("from facelab.ui.panels import PANELS\nassert PANELS") & set(HEAVY)


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_that_every_link_of_a_document_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    links = [
        link for link in re.findall(r"\]\(([^)#\s]+)", text) if not link.startswith(("http:", "https:", "mailto:"))
    ]
    assert not [link for link in links if not (ROOT / document).parent.joinpath(link).exists()]
