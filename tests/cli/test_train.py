"""`ddpm-rt train` as a command: its messages, files and exit codes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from command import run
from file_size_limit import file_size_limit
from tiny_training import TINY_TOML, disks


@pytest.fixture
def folder(tmp_path):
    """A folder with a recipe, tiny.toml, and its images, disks.npz."""
    (tmp_path / "tiny.toml").write_text(TINY_TOML)
    np.savez(tmp_path / "disks.npz", images=disks())
    return tmp_path


@pytest.fixture
def inside(folder, monkeypatch):
    """The folder as the working directory."""
    monkeypatch.chdir(folder)
    return folder


ARGUMENTS = ["--config", "tiny.toml", "--data", "disks.npz", "--out", "run", "--cpu", "--quiet"]


def call(*more):
    """Run the command in the working directory, with --out run/ unless `more` replaces it."""
    return run("train", *ARGUMENTS, *more)


@pytest.mark.slow
def test_a_full_disk_is_a_one_line_error_and_keeps_the_earlier_state(inside):
    assert call("--steps", 2).exit_code == 0
    state = inside / "run" / "training_state.pt"
    before, files = state.read_bytes(), set(inside.rglob("*"))
    with file_size_limit(len(before) // 2):
        full = call("--steps", 3)
    assert (full.exit_code, full.stderr) == (1, "Error: run/training_state.pt cannot be written: File too large\n")
    assert state.read_bytes() == before
    left = {path.relative_to(inside).parts[1] for path in set(inside.rglob("*")) - files}
    assert left <= {"tensorboard"}  # a file of events for each start
    assert call("--steps", 3).stdout == "run: trained for 3 steps on 50 images\n"


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "sentence"),
    [
        ("SIGINT", 51, "stopped after 51 steps, all saved; the same command resumes"),
        ("SIGTERM", 2, "run: trained for 2 steps, all saved; only the last picture is missing"),
    ],
)
def test_an_interrupt_while_samples_are_drawn_is_a_one_line_message(folder, name, steps, sentence):
    steps_asked = "60" if steps == 51 else str(steps)
    command = [sys.executable, "-c", INTERRUPTED.format(name=name), "train", *ARGUMENTS, "--steps", steps_asked]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    code = 128 + getattr(signal, name)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", sentence + "\n")


def test_a_run_with_more_steps_says_so(inside):
    assert call("--steps", 3).exit_code == 0
    done = call("--steps", 2)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "run already has 3 steps; nothing was done\n", "")


DATA = "--data is a folder or zip of images, an .npz of uint8 [N, H, W, C], or the name of a data set of the hub"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--out /proc/x", "/proc/x cannot be made: No such file or directory"),
        ("--out disks.npz/x", "disks.npz/x cannot be made: Not a directory"),
        ("--out disks.npz", "Invalid value for '-o' / '--out': Directory 'disks.npz' is a file."),
        ("--data no.npz", f"no.npz does not exist; {DATA}"),
        ("--data no/", f"no/ does not exist; {DATA}"),
        ("--data a.npy", f"a.npy cannot be read as a zip: no directory at its end; {DATA}"),
        ("--data dir.npz", "dir.npz is a folder, not a regular file"),
        ("--data p --out p", "--out p and --data p overlap; use another --out"),
        ("--data p --out p/run", "--out p/run and --data p overlap; use another --out"),
        ("--data p/q --out p", "--out p and --data p/q overlap; use another --out"),
        ("--data p --out l", "--out l and --data p overlap; use another --out"),
    ],
)
def test_a_path_that_cannot_be_read_or_created_is_a_one_line_error(inside, arguments, sentence):
    np.save(inside / "a.npy", disks())
    (inside / "dir.npz").mkdir()
    (inside / "p" / "q").mkdir(parents=True)
    (inside / "p" / "q" / "picture.png").touch()
    (inside / "l").symlink_to("p/q")
    before = set(inside.rglob("*"))
    done = call("--steps", 1, *arguments.split())
    assert done.stderr == f"Error: {sentence}\n"
    assert done.exit_code == (2 if "--out" in sentence else 1)
    assert set(inside.rglob("*")) == before


def test_a_read_only_folder_is_named(inside, monkeypatch):
    (inside / "run").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # the answer for users other than root
    done = call()
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: Invalid value for '-o' / '--out': Directory 'run' is not writable.\n",
    )


def test_a_system_error_names_the_file_without_an_error_number(inside, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied", "run/training_state.pt")

    monkeypatch.setattr("ddpm_ref.trainer.train", denied)
    assert call().stderr == "Error: run/training_state.pt: Permission denied\n"


def test_an_unreadable_picture_is_named(inside):
    (inside / "p" / "a.png").mkdir(parents=True)
    done = call("--data", "p")
    assert (done.exit_code, done.stderr) == (1, "Error: p/a.png is a folder, not a regular file\n")
