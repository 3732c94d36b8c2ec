"""The programs in examples/ are short and run."""

import subprocess
import sys

import pytest
from repository import ROOT

WRITES = {
    "custom_sampler": [],
    "edit": ["edits.png"],
    "export_module": ["network.onnx"],
    "fifty_thousand": ["000000000.npy", "000000050.npy"],
    "sample": ["digits.png"],
    "shards": [],
}
SLOW = {"export_module", "fifty_thousand"}  # one imports PyTorch and exports, the other starts Ray
ARGUMENTS = {"fifty_thousand": [".", "60", "3"]}


def test_every_example_is_known_and_short():
    lengths = {
        path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "examples").glob("*.py")
    }
    assert sorted(lengths) == sorted(WRITES)
    assert {name: length for name, length in lengths.items() if length > 40} == {}


PROGRAMS = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WRITES]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_runs_and_writes_its_output(name, tmp_path):
    if name == "fifty_thousand":
        pytest.importorskip("ray.data", reason="Ray is not installed")
    command = [sys.executable, ROOT / "examples" / f"{name}.py", *ARGUMENTS.get(name, [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITES[name]
    assert done.stdout
