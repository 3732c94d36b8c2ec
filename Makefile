# Each target installs what it needs in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOAK ?= 30
FUZZ_SECONDS ?= 600
FUZZ_FIRST ?= 0
CONSTRAINTS ?= --constraint constraints.txt
# Without --no-compile, pip compiles thousands of modules that nothing imports. Python compiles the others itself.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(CONSTRAINTS)

.PHONY: sample test quick hooks cpp-test dist js-test docs campaign fuzz check clean

sample: $(VENV)/runtime  ## draw 64 digits with the bundled model, on the CPU, into samples.png
	$(BIN)/ddpm-rt sample --sampler fitted --count 64 --out samples.png

test: $(VENV)/dev  ## run lint, types and all tests
	PATH="$(abspath $(BIN)):$$PATH" scripts/check

quick: $(VENV)/dev  ## run lint and the tests that are not marked slow, in about 90 seconds
	PATH="$(abspath $(BIN)):$$PATH" scripts/check --quick

hooks: $(VENV)/dev  ## install git hooks that run ruff, clang-format and mypy before each commit
	$(BIN)/pre-commit install

cpp-test: $(VENV)/dev  ## build runtime/cpp, test it with sanitizers, compare its pictures with Python's
	PYTHON="$(abspath $(BIN))/python" scripts/cpp_test.sh ci

dist: $(VENV)/runtime  ## write archives of runtime/cpp for x86-64 and aarch64 into build/dist
	PYTHON="$(abspath $(BIN))/python" scripts/cpp_dist.sh

js-test: $(VENV)/dev  ## check and test runtime/js in Node and in Chromium, and compare its images with Python's
	PYTHON="$(abspath $(BIN))/python" scripts/js_test.sh

docs: $(VENV)/docs  ## build the documentation into build/docs; a warning is an error
	$(BIN)/sphinx-build --builder html --fresh-env --fail-on-warning --keep-going --nitpicky --quiet docs build/docs

campaign: $(VENV)/dev  ## stress the command line (kills, signals, full disks, hostile files): benchmarks/campaign.txt
	PYTHONPATH=scripts $(BIN)/python -m campaign --soak $(SOAK) --out benchmarks/campaign.txt

fuzz: $(VENV)/dev  ## read mutated files of every kind for FUZZ_SECONDS; build/fuzz keeps the failing files
	$(BIN)/python scripts/fuzz/readers.py --seconds $(FUZZ_SECONDS) --first $(FUZZ_FIRST)

check: test

$(VENV)/python: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime: $(VENV)/python constraints.txt
	$(INSTALL) --editable '.[cpu]'
	touch $@

# torch is installed first and alone: together with other packages, pip may choose another build of it.
$(VENV)/dev: $(VENV)/runtime
	$(INSTALL) torch
	$(INSTALL) --editable '.[dev]'
	touch $@

# The API reference imports all three packages, so it needs torch.
$(VENV)/docs: $(VENV)/runtime
	$(INSTALL) torch
	$(INSTALL) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist
