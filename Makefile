# Two commands on a fresh machine: `make run` opens facelab, `make test` runs its tests. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c packaging/constraints.txt
SOURCES := facelab tests packaging
# A trained VGG16 for the tests of the perceptual loss. Only its weights are read; what its code would need is left out, which an
# extra of pyproject.toml cannot say.
WEIGHTS := stlpips-pytorch
# One process of tests a core; each runs torch on one thread.
SPREAD := -n auto --dist worksteal

.PHONY: run test fast lint evidence bench images wheel clean system system-test
.DELETE_ON_ERROR:

run: system $(VENV)/.run
	@$(BIN)/python packaging/run.py

test: system-test $(VENV)/.test lint
	$(BIN)/python -m pytest $(SPREAD)

# What runs on every change: under a minute.
fast: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD) -m "not slow and not display"

lint: $(VENV)/.test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The slow proofs: self-inversion, photographs, kills. Pictures and figures go to out/evidence.
evidence: system-test $(VENV)/.test
	$(BIN)/python -m tests.evidence out/evidence

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench

# The README's pictures anew, after a change that they show.
images: $(VENV)/.test
	$(BIN)/python -m tests.ui.images docs/images

wheel: $(VENV)/.test
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facelab needs Python 3.11 or later; name one with: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.venv pyproject.toml packaging/constraints.txt
	$(PIP) -e ".[photos]"
	@touch $@

$(VENV)/.test: $(VENV)/.venv pyproject.toml packaging/constraints.txt
	$(PIP) -e ".[photos,train,test]"
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@ $(VENV)/.run

system:
	@sh packaging/system-libraries.sh

system-test:
	@sh packaging/system-libraries.sh test

clean:
	rm -rf $(VENV) out dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
