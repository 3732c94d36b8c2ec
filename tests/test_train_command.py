"""`ddpm-rt train` as a command: what it says, what it leaves, and its exit code."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from test_trainer import TINY_TOML, disks


@pytest.fixture
def folder(tmp_path):
    """With a recipe, tiny.toml, and its images, disks.npz."""
    (tmp_path / "tiny.toml").write_text(TINY_TOML)
    np.savez(tmp_path / "disks.npz", images=disks())
    return tmp_path


def train(folder, *more, program=("-m", "ddpm_rt"), **options):
    """The command in `folder`, into run/; what `more` says goes before."""
    arguments = ["--config", "tiny.toml", "--data", "disks.npz", "--out", "run", "--cpu", "--quiet", *map(str, more)]
    return subprocess.run(
        [sys.executable, *program, "train", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def test_a_full_disk_is_one_line_and_the_state_before_is_still_there(folder):
    assert train(folder, "--steps", 2).returncode == 0
    state = folder / "run" / "training_state.pt"
    before, files = state.read_bytes(), set(folder.rglob("*"))
    limit = (len(before) // 2, resource.RLIM_INFINITY)  # bytes a file: what a full disk does, at a place that is known
    full = train(folder, "--steps", 3, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert (full.returncode, full.stderr) == (1, "Error: run/training_state.pt cannot be written: File too large\n")
    assert state.read_bytes() == before
    left = {path.relative_to(folder).parts[1] for path in set(folder.rglob("*")) - files}
    assert left <= {"tensorboard"}  # a file of events for each start
    assert train(folder, "--steps", 3).stdout == "run: trained for 3 steps on 50 images\n"


INTERRUPTED = """
import os, signal, sys
from ddpm_ref.diffusion import Diffusion
original = Diffusion.predict_x0

def interrupted(*arguments):
    os.kill(os.getpid(), signal.{name})
    return original(*arguments)

Diffusion.predict_x0 = interrupted
from ddpm_rt.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("name", "steps", "sentence"),
    [
        ("SIGINT", 51, "stopped after 51 steps, all saved; the same command goes on"),
        ("SIGTERM", 2, "run: trained for 2 steps, all saved; only the last picture is missing"),
    ],
)
def test_an_interrupt_while_a_picture_is_drawn_is_one_line(folder, name, steps, sentence):
    program = ["-c", INTERRUPTED.format(name=name)]
    done = train(folder, "--steps", 60 if steps == 51 else steps, program=program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", sentence + "\n")


def test_a_run_that_has_had_more_steps_says_so(folder):
    assert train(folder, "--steps", 3).returncode == 0
    done = train(folder, "--steps", 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run has had 3 steps already; nothing was done\n", "")
