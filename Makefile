# `make sample` and `make test` do all their own set-up, in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 600
FUZZ_FIRST ?= 0
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: sample test cpp-test fuzz check clean

sample: $(VENV)/runtime  ## draw 64 digits with the bundled model, on the CPU, into samples.png
	$(BIN)/ddpm-rt sample --count 64 --out samples.png

test: $(VENV)/dev  ## everything that CI runs: lint, types, tests
	PATH="$(abspath $(BIN)):$$PATH" scripts/check

cpp-test: $(VENV)/dev  ## build runtime/cpp, test it with sanitizers, compare its pictures with Python's
	PYTHON="$(abspath $(BIN))/python" scripts/cpp_test.sh ci tsan

fuzz: $(VENV)/dev  ## mutate files of every kind for FUZZ_SECONDS and read them; failing files are kept in build/fuzz
	$(BIN)/python scripts/fuzz/readers.py --seconds $(FUZZ_SECONDS) --first $(FUZZ_FIRST)

check: test

$(VENV)/python: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime: $(VENV)/python constraints.txt
	$(INSTALL) --editable '.[cpu]'
	touch $@

# torch first and by itself: asked for in one go with the rest, pip may prefer another build of it.
$(VENV)/dev: $(VENV)/runtime
	$(INSTALL) torch
	$(INSTALL) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
