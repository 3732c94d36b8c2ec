"""`ddpm-rt serve` as a process: its options, its first picture, and its end on a signal."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from command import failed, run
from gaussian_model import write_gaussian

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture
def process(gaussian):
    command = [sys.executable, "-m", "ddpm_rt", "serve", "--port", "0", "--engine", gaussian]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_until_a_signal_and_ends_without_an_error(process, number):
    line = process.stdout.readline()
    url = re.fullmatch(r"serving gaussian: (http://127\.0\.0\.1:\d+/)\n", line)[1]
    with urllib.request.urlopen(f"{url}v1/models/gaussian/images/7/40.png?steps=3") as response:
        assert response.read().startswith(b"\x89PNG")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert events == ["started", "request", "stopping", "stopped"]


def test_what_cannot_be_served_is_one_line(tmp_path, gaussian):
    failed(run("serve", "--engine", tmp_path / "none.onnx"), "none.onnx")
    failed(run("serve", "--port", 0, "--host", "0.0.0.0"), "give --token-file FILE, or --no-token", code=2)
    failed(run("serve", "--port", 0, "--token-file", tmp_path / "none"), "none")
    failed(run("serve", "--port", 0, "--max-samples", 300), "must fit into the queue of 256", code=2)
    spaced = write_gaussian(tmp_path / "a name.onnx")
    failed(run("serve", "--port", 0, "--engine", spaced), "a served model needs a name of letters", code=2)
    (tmp_path / "other").mkdir()
    same = write_gaussian(tmp_path / "other" / "gaussian.onnx")
    failed(run("serve", "--port", 0, "--engine", gaussian, "--engine", same), "both named gaussian", code=2)
    failed(run("serve", "--port", 0, "--host", "192.0.2.1", "--no-token"), "192.0.2.1 port 0 cannot be listened on")


def test_a_table_of_another_model_is_one_line(tmp_path, gaussian):
    table = tmp_path / "fast.steps.json"
    assert run("steps", gaussian, "--steps", 4, "-o", table).exit_code == 0
    failed(run("serve", "--port", 0, "--steps-file", table), "was compiled for another model")
