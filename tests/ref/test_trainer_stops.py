"""Training that is killed, interrupted or cannot write: what is saved, and how it resumes."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest
import torch
from file_size_limit import file_size_limit
from repository import ROOT
from tiny_training import RECIPE, disks, losses, run

from ddpm_ref.checkpoint import load_checkpoint
from ddpm_ref.diffusion import Diffusion
from ddpm_ref.errors import OutputError
from ddpm_ref.report import Report


@pytest.mark.slow
def test_a_killed_process_resumes_from_its_last_save_with_the_same_losses(tmp_path, every_step):
    run(tmp_path / "whole")
    np.savez(tmp_path / "disks.npz", images=disks())
    script = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import ddpm_ref.report, ddpm_ref.trainer, tiny_training
ddpm_ref.report.LOG_EVERY = 1
step = ddpm_ref.trainer.Run.step

def killed(self, batch):
    if self.state.step == 26:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch)

ddpm_ref.trainer.Run.step = killed
tiny_training.run(Path({out!r}))
"""
    code = script.format(tests=str(ROOT / "tests" / "support"), out=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -signal.SIGKILL
    assert len(losses(tmp_path / "killed")) == 26
    run(tmp_path / "killed")
    # Bit-equal, because tests/conftest.py gives both processes one thread and therefore the same order of sums.
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "killed")) == 60


def test_an_interrupt_saves_the_current_step(tmp_path, monkeypatch):
    import ddpm_ref.trainer as trainer

    original = trainer.Run.step

    def interrupted(self, batch):
        if self.state.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch)

    monkeypatch.setattr(trainer.Run, "step", interrupted)
    outcome = run(tmp_path)
    assert (outcome.steps_done, outcome.finished) == (8, False)
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 8
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["samples/0000003.png", "unet/config.json", "recipe.json"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, file):
    (tmp_path / "run" / file / "in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match=f"{file} cannot be written: Is a directory"):
        run(tmp_path / "run", RECIPE.with_training(steps=3))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_curve_that_cannot_be_written_is_named(tmp_path, every_step):
    report = Report(tmp_path, first=0, steps=1, quiet=True, enabled=True)
    (tmp_path / "log.csv").mkdir()
    with closing(report), pytest.raises(OutputError, match=r"log\.csv cannot be written: Is a directory"):
        report.step(0, loss=1.0, rate=0.1, images_per_second=1.0)


def test_events_that_cannot_be_written_are_an_error_without_a_thread_traceback(tmp_path, every_step, monkeypatch):
    uncaught = []
    monkeypatch.setattr(threading, "excepthook", uncaught.append)
    report = Report(tmp_path, first=0, steps=1, quiet=True, enabled=True)

    def write():
        with closing(report):
            report.step(0, loss=1.0, rate=0.1, images_per_second=1.0)

    too_large = pytest.raises(OutputError, match="tensorboard cannot be written: File too large")
    with file_size_limit(90), too_large:  # log.csv has fewer bytes, the events have more
        write()
    assert uncaught == []
    threading.excepthook("what the thread of another raises")
    assert uncaught == ["what the thread of another raises"]


@pytest.mark.slow
def test_a_checkpoint_that_failed_is_written_when_the_run_resumes(tmp_path):
    (tmp_path / "model_index.json" / "in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match="model_index"):
        run(tmp_path, RECIPE.with_training(steps=3))
    (tmp_path / "model_index.json" / "in the way").rmdir()
    (tmp_path / "model_index.json").rmdir()
    assert run(tmp_path, RECIPE.with_training(steps=3)).steps_done == 3
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    average = load_checkpoint(tmp_path).unet.state_dict()
    assert all(torch.equal(average[name], tensor) for name, tensor in state["average"].items())


def interrupt_at(monkeypatch, call):
    """Send Ctrl-C in network call `call` (from 0) of `draw_samples`. Returns a list with an entry for each call."""
    original, calls = Diffusion.predict_x0, []

    def interrupted(self, out, x, t):
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        calls.append(call)
        return original(self, out, x, t)

    monkeypatch.setattr(Diffusion, "predict_x0", interrupted)  # training does not call predict_x0
    return calls


def test_an_interrupt_stops_sampling_and_then_the_run(tmp_path, monkeypatch):
    calls = interrupt_at(monkeypatch, 3)
    outcome = run(tmp_path, RECIPE.with_training(sample_every=5))
    assert len(calls) == 4
    assert (outcome.steps_done, outcome.finished) == (6, False)
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 6
    assert load_checkpoint(tmp_path).weights_sha256
    assert not (tmp_path / "samples").exists()


def test_an_interrupt_of_the_last_samples_saves_everything_else(tmp_path, monkeypatch):
    calls = interrupt_at(monkeypatch, 0)
    outcome = run(tmp_path, RECIPE.with_training(steps=3))
    assert len(calls) == 1
    assert (outcome.steps_done, outcome.finished, outcome.drawn) == (3, True, False)
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 3
    assert not (tmp_path / "samples").exists()


def test_a_second_interrupt_stops_sampling_immediately(tmp_path, monkeypatch):
    def twice(self, out, x, t):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Diffusion, "predict_x0", twice)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RECIPE.with_training(steps=3))
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 3
