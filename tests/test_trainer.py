import dataclasses
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest
import torch

from ddpm_ref.batches import Source, batches
from ddpm_ref.checkpoint import load_checkpoint
from ddpm_ref.config import UNetConfig
from ddpm_ref.diffusion import Diffusion
from ddpm_ref.errors import CheckpointError, DataError, OutputError, RecipeError
from ddpm_ref.recipe import Process, Recipe, Training, load_preset, load_recipe, preset_names
from ddpm_ref.report import Report
from ddpm_ref.trainer import train

TINY = UNetConfig(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=None,
    norm_num_groups=4,
    norm_eps=1e-5,
    downsample_padding=1,
    flip_sin_to_cos=True,
    freq_shift=0,
    dropout=0.2,  # so that resuming has to bring the dropout's randomness back too
)
RECIPE = Recipe(
    model=TINY,
    diffusion=Process(schedule="linear", steps=50, prediction="eps", variance="fixed_small"),
    training=Training(
        batch_size=4,
        steps=60,
        learning_rate=2e-3,
        warmup_steps=5,
        ema_decay=0.99,
        ema_warmup=True,
        flip=True,
        seed=3,
        checkpoint_every=20,
        sample_every=60,
        sample_count=4,
    ),
)


def disks(count=50):
    """Bright disks on black, uint8 [N, 8, 8, 1]: a data set that a tiny network can learn."""
    centres = np.random.default_rng(0).uniform(2, 5, (count, 2, 1, 1))
    rows, columns = np.mgrid[:8, :8]
    inside = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < 4
    return (inside * 255).astype(np.uint8)[..., None]


def losses(folder):
    return [float(line.split(",")[1]) for line in (folder / "log.csv").read_text().splitlines()[1:]]


def run(folder, recipe=RECIPE, **options):
    return train(recipe, disks(), folder, quiet=True, cpu=True, **options)


@pytest.fixture
def every_step(monkeypatch):
    """A point of the loss curve a step."""
    monkeypatch.setattr("ddpm_ref.report.LOG_EVERY", 1)


def test_training_lowers_the_loss(tmp_path, every_step):
    outcome = run(tmp_path, RECIPE.with_training(steps=300, learning_rate=5e-3))
    curve = losses(tmp_path)
    assert outcome.finished
    assert len(curve) == 300
    assert np.mean(curve[-50:]) < 0.6 * np.mean(curve[:20])  # it starts at 1, the variance of the noise


def test_a_resumed_run_has_the_losses_and_weights_of_one_that_never_stopped(tmp_path, every_step):
    run(tmp_path / "whole")
    run(tmp_path / "parts", RECIPE.with_training(steps=20))
    run(tmp_path / "parts", RECIPE.with_training(steps=47))
    run(tmp_path / "parts")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")  # to the bit: same kernels, same order
    whole, parts = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert whole.weights_sha256 == parts.weights_sha256


def test_a_run_does_not_go_on_with_other_images(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=2))
    before = (tmp_path / "training_state.pt").read_bytes()
    with pytest.raises(CheckpointError, match="other images"):
        train(RECIPE, 255 - disks(), tmp_path, quiet=True, cpu=True)
    with pytest.raises(CheckpointError, match="other images"):
        train(RECIPE, disks(49), tmp_path, quiet=True, cpu=True)
    assert (tmp_path / "training_state.pt").read_bytes() == before


def test_images_that_cannot_be_read_leave_no_folder(tmp_path):
    class Broken(list):
        def __getitem__(self, index):
            raise DataError("picture 0 is damaged")

    with pytest.raises(DataError, match="damaged"):
        train(RECIPE, Broken([0] * 50), tmp_path / "run", quiet=True, cpu=True)
    assert not (tmp_path / "run").exists()


def test_a_killed_process_goes_on_from_its_last_save_with_the_same_losses(tmp_path, every_step):
    run(tmp_path / "whole")
    np.savez(tmp_path / "disks.npz", images=disks())
    script = """
import sys, numpy as np
from pathlib import Path
sys.path.insert(0, {tests!r})
import ddpm_ref.report, ddpm_ref.trainer, test_trainer
ddpm_ref.report.LOG_EVERY = 1
test_trainer.run(Path({out!r}))
"""
    code = script.format(tests=os.path.dirname(__file__), out=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    log = tmp_path / "killed" / "log.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not log.exists() or log.read_text().count("\n") < 26):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    run(tmp_path / "killed")
    # The killed process had one thread; other thread counts may sum a convolution in another order.
    np.testing.assert_allclose(losses(tmp_path / "killed"), losses(tmp_path / "whole"), rtol=1e-3)
    assert len(losses(tmp_path / "killed")) == 60


def test_an_interrupt_saves_the_step_it_is_at(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("file", ["samples/0000060.png", "unet/config.json", "recipe.json"])
def test_what_cannot_be_written_is_named(tmp_path, file):
    (tmp_path / "run" / file / "in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match=f"{file} cannot be written: Is a directory"):
        run(tmp_path / "run")
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_curve_that_cannot_be_written_is_named(tmp_path, every_step):
    report = Report(tmp_path, first=0, steps=1, quiet=True, enabled=True)
    (tmp_path / "log.csv").mkdir()
    with closing(report), pytest.raises(OutputError, match=r"log\.csv cannot be written: Is a directory"):
        report.step(0, loss=1.0, rate=0.1, images_per_second=1.0)


def test_events_that_cannot_be_written_are_an_error_and_no_traceback_of_a_thread(tmp_path, every_step, monkeypatch):
    uncaught, before = [], resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(threading, "excepthook", uncaught.append)
    report = Report(tmp_path, first=0, steps=1, quiet=True, enabled=True)

    def write():
        with closing(report):
            report.step(0, loss=1.0, rate=0.1, images_per_second=1.0)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (90, before[1]))  # bytes a file: log.csv has fewer, the events more
        with pytest.raises(OutputError, match="tensorboard cannot be written: File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert uncaught == []
    threading.excepthook("what the thread of another raises")
    assert uncaught == ["what the thread of another raises"]


def test_a_checkpoint_that_could_not_be_written_is_written_when_the_run_goes_on(tmp_path):
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
    """Ctrl-C within call `call`, from 0, of the network by `draw_samples`; a list that gets an entry a call."""
    original, calls = Diffusion.predict_x0, []

    def interrupted(self, out, x, t):
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        calls.append(call)
        return original(self, out, x, t)

    monkeypatch.setattr(Diffusion, "predict_x0", interrupted)  # the training itself has no need of it
    return calls


def test_an_interrupt_ends_a_picture_at_its_next_step_and_the_run_with_the_step_after_it(tmp_path, monkeypatch):
    calls = interrupt_at(monkeypatch, 3)
    outcome = run(tmp_path, RECIPE.with_training(sample_every=5))
    assert len(calls) == 4
    assert (outcome.steps_done, outcome.finished) == (6, False)
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 6
    assert load_checkpoint(tmp_path).weights_sha256
    assert not (tmp_path / "samples").exists()


def test_an_interrupt_at_the_last_picture_leaves_all_but_the_picture(tmp_path, monkeypatch):
    calls = interrupt_at(monkeypatch, 0)
    outcome = run(tmp_path, RECIPE.with_training(steps=3))
    assert len(calls) == 1
    assert (outcome.steps_done, outcome.finished, outcome.drawn) == (3, True, False)
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 3
    assert not (tmp_path / "samples").exists()


def test_a_second_interrupt_ends_a_picture_within_its_step(tmp_path, monkeypatch):
    def twice(self, out, x, t):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Diffusion, "predict_x0", twice)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RECIPE.with_training(steps=3))
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["step"] == 3


def test_a_run_that_has_had_its_steps_is_left_as_it_is(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=3))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for steps in (2, 3):
        outcome = run(tmp_path, RECIPE.with_training(steps=steps))
        assert (outcome.steps_before, outcome.steps_done, outcome.finished) == (3, 3, True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_written_opens_in_diffusers_and_is_the_average(tmp_path):
    from diffusers import DDPMPipeline

    run(tmp_path)
    unet = DDPMPipeline.from_pretrained(tmp_path).unet
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    average, last = state["average"]["conv_in.weight"], state["unet"]["conv_in.weight"]
    assert torch.equal(unet.conv_in.weight, average)
    assert not torch.equal(average, last)
    assert (tmp_path / "samples" / "0000060.png").exists()
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_folder_of_another_recipe_is_left_alone(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=5))
    with pytest.raises(CheckpointError, match=r"training\.learning_rate"):
        run(tmp_path, RECIPE.with_training(learning_rate=1e-3))


def test_a_run_of_a_version_that_knew_fewer_keys_goes_on(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=2))
    content = torch.load(tmp_path / "training_state.pt", weights_only=True)
    for key in ("mid_block_type", "resnet_time_scale_shift", "num_class_embeds"):
        del content["recipe"]["model"][key]
    torch.save(content, tmp_path / "training_state.pt")
    assert run(tmp_path, RECIPE.with_training(steps=3)).steps_done == 3


def test_the_processes_of_a_step_share_what_one_process_sees():
    whole = next(iter(batches(Source(disks(), None, RECIPE), first=2)))
    shares = [next(iter(batches(Source(disks(), None, RECIPE, rank, 2), first=2))) for rank in range(2)]
    for name in ("x0", "t", "noise"):
        merged = torch.stack([getattr(share, name) for share in shares], dim=1).flatten(0, 1)
        assert torch.equal(merged, getattr(whole, name))


def test_half_of_the_images_are_mirrored():
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[:, :, 0] = 255
    batch = next(iter(batches(Source(pixels, None, RECIPE.with_training(batch_size=2000)), first=0)))
    left = (batch.x0[:, 0, 0, 0] == 1.0).float().mean()
    assert 0.45 < left < 0.55  # four and a half standard errors either side


def test_two_processes_train_as_one(tmp_path, every_step):
    """The command that torchrun launches, over gloo: the loss of every step is that of a single process."""
    np.savez(tmp_path / "disks.npz", images=disks())
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_TOML)
    command = ["-m", "ddpm_ref", "--config", recipe, "--data", tmp_path / "disks.npz", "--cpu", "--quiet"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, *command, "--out", tmp_path / "one"], check=True, env=environment)
    subprocess.run([*torchrun, *command, "--out", tmp_path / "two"], check=True, env=environment)
    assert len(losses(tmp_path / "one")) == 1
    # The mean of 50 losses; gradients are averaged in another order.
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-4)


TINY_TOML = """
[model]
sample_size = 8
in_channels = 1
out_channels = 1
block_out_channels = [8, 16]
layers_per_block = 1
down_block_types = ["DownBlock2D", "AttnDownBlock2D"]
up_block_types = ["AttnUpBlock2D", "UpBlock2D"]
attention_head_dim = 0
norm_num_groups = 4
norm_eps = 1e-5
downsample_padding = 1
flip_sin_to_cos = true
freq_shift = 0
[diffusion]
schedule = "linear"
steps = 50
prediction = "eps"
variance = "fixed_small"
[training]
batch_size = 4
steps = 50
learning_rate = 2e-3
warmup_steps = 5
sample_every = 50
sample_count = 4
"""


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        ("batch_size = 4", "batch_size = 0", "batch_size"),
        ("batch_size = 4", "batch_size = 4.5", "batch_size must be int"),
        ("batch_size = 4", "", "missing key 'batch_size'"),
        ("batch_size = 4", "batch_size = 4\ncolour = 1", "unknown key 'colour'"),
        ('schedule = "linear"', 'schedule = "linaer"', "linaer"),
        ('prediction = "eps"', 'prediction = "noise"', "noise"),
        ("norm_num_groups = 4", "norm_num_groups = 3", "norm_num_groups"),
        ("[training]", "[trainning]", "sections"),
        ("[model]", "[model", "cannot be read"),
    ],
)
def test_a_recipe_that_cannot_be_followed_names_the_key(tmp_path, line, instead, message):
    path = tmp_path / "recipe.toml"
    path.write_text(TINY_TOML.replace(line, instead, 1))
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_read(name):
    assert load_preset(name).diffusion.betas.shape == (1000,)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("model", {"out_channels": 6}, "fixed_small wants as many model.out_channels"),
        ("model", {"class_embed_type": "timestep"}, "knows no model.class_embed_type"),
        ("diffusion", {"variance": "learned_range"}, "learned_range wants twice as many model.out_channels"),
        ("training", {"label_dropout": 0.1}, "label_dropout 0.1 needs num_class_embeds"),
        ("training", {"label_dropout": 1.0}, "label_dropout must lie in"),
        ("training", {"min_snr_gamma": -1.0}, "min_snr_gamma must be"),
    ],
)
def test_a_recipe_that_the_trainer_could_not_follow_is_refused(section, change, message):
    with pytest.raises(RecipeError, match=message):
        dataclasses.replace(RECIPE, **{section: dataclasses.replace(getattr(RECIPE, section), **change)})


def test_the_learning_rate_rises_stays_and_falls():
    training = Training(
        batch_size=1, steps=100, learning_rate=1.0, warmup_steps=10, cooldown_steps=20, ema_decay=0.9, ema_warmup=True
    )
    assert [training.rate_at(step) for step in (0, 9, 50, 80, 90, 99)] == pytest.approx([0.1, 1, 1, 1, 0.5, 0.05])
    assert [training.ema_at(step) for step in (0, 10_000)] == [0.1, 0.9]
