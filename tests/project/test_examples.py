"""The programs in examples/ are short and run."""

import subprocess
import sys

import pytest
from repository import ROOT

WRITES = {
    "custom_sampler": [],
    "edit": ["edits.png"],
    "export_module": ["network.onnx"],
    "sample": ["digits.png"],
    "shards": [],
}
SLOW = {"export_module"}  # it imports PyTorch, and exports


def test_every_example_is_known_and_short():
    lengths = {
        path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "examples").glob("*.py")
    }
    assert sorted(lengths) == sorted(WRITES)
    assert {name: length for name, length in lengths.items() if length > 40} == {}


PROGRAMS = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WRITES]


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_runs_and_writes_its_output(name, tmp_path):
    command = [sys.executable, ROOT / "examples" / f"{name}.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITES[name]
    assert done.stdout
