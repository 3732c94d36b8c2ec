"""The programs in examples/: short, and they run."""

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


def test_every_example_is_known_and_short():
    lengths = {
        path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "examples").glob("*.py")
    }
    assert sorted(lengths) == sorted(WRITES)
    assert {name: length for name, length in lengths.items() if length > 40} == {}


@pytest.mark.parametrize("name", WRITES)
def test_an_example_runs_and_writes_what_it_says(name, tmp_path):
    command = [sys.executable, ROOT / "examples" / f"{name}.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITES[name]
    assert done.stdout
