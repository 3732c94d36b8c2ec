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
RAY_SERVE = """
import io, socket, sys, urllib.request
import numpy as np, ray
from PIL import Image
from ray import serve
import ddpm_rt
from ddpm_rt.images.write import to_pixels

sys.path.insert(0, sys.argv[1])
from ray_serve import app

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
ray.init(num_cpus=3, include_dashboard=False)
serve.start(http_options={"port": port})
serve.run(app)
with urllib.request.urlopen(f"http://127.0.0.1:{port}/?seed=7&sample=40") as response:
    drawn = np.asarray(Image.open(io.BytesIO(response.read())), int)
wanted = to_pixels(ddpm_rt.sample(seed=7, first=40, count=1, steps=10)).reshape(drawn.shape)
assert np.abs(drawn - wanted).max() <= 1  # the network rounds in another way at another batch size
serve.shutdown()
"""
ARGUMENTS = {"fifty_thousand": [".", "60", "3"]}


def test_every_example_is_known_and_short():
    lengths = {
        path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "examples").glob("*.py")
    }
    assert sorted(lengths) == sorted([*WRITES, "ray_serve"])
    assert {name: length for name, length in lengths.items() if length > 40} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITES)
def test_an_example_runs_and_writes_its_output(name, tmp_path):
    if name == "fifty_thousand":
        pytest.importorskip("ray.data", reason="Ray is not installed")
    command = [sys.executable, ROOT / "examples" / f"{name}.py", *ARGUMENTS.get(name, [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITES[name]
    assert done.stdout


@pytest.mark.slow
def test_ray_serve_answers_with_the_picture_of_a_sample():
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
    command = [sys.executable, "-c", RAY_SERVE, str(ROOT / "examples")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
