import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_training import RECIPE, TINY_TOML, disks, losses, run

from ddpm_ref.batches import Source, batches
from ddpm_ref.checkpoint import load_checkpoint
from ddpm_ref.errors import CheckpointError, DataError
from ddpm_ref.trainer import train


@pytest.mark.slow
def test_training_lowers_the_loss(tmp_path, every_step):
    outcome = run(tmp_path, RECIPE.with_training(steps=300, learning_rate=5e-3))
    curve = losses(tmp_path)
    assert outcome.finished
    assert len(curve) == 300
    assert np.mean(curve[-50:]) < 0.6 * np.mean(curve[:20])  # it starts at 1, the variance of the noise


@pytest.mark.slow
def test_a_resumed_run_has_the_losses_and_weights_of_one_that_never_stopped(tmp_path, every_step):
    run(tmp_path / "whole")
    run(tmp_path / "parts", RECIPE.with_training(steps=20))
    run(tmp_path / "parts", RECIPE.with_training(steps=47))
    run(tmp_path / "parts")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")  # to the bit: same kernels, same order
    whole, parts = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert whole.weights_sha256 == parts.weights_sha256


@pytest.mark.slow
def test_a_run_does_not_resume_with_other_images(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=2))
    before = (tmp_path / "training_state.pt").read_bytes()
    with pytest.raises(CheckpointError, match="other images"):
        train(RECIPE, 255 - disks(), tmp_path, quiet=True, cpu=True)
    with pytest.raises(CheckpointError, match="other images"):
        train(RECIPE, disks(49), tmp_path, quiet=True, cpu=True)
    assert (tmp_path / "training_state.pt").read_bytes() == before


def test_unreadable_images_leave_no_folder(tmp_path):
    class Broken(list):
        def __getitem__(self, index):
            raise DataError("picture 0 is damaged")

    with pytest.raises(DataError, match="damaged"):
        train(RECIPE, Broken([0] * 50), tmp_path / "run", quiet=True, cpu=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_finished_run_stays_unchanged(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=3))
    for path in tmp_path.rglob("*"):
        os.utime(path, ns=(0, 0))  # so that a new file has another time, however coarse the clock
    before = set(tmp_path.rglob("*"))
    for steps in (2, 3):
        outcome = run(tmp_path, RECIPE.with_training(steps=steps))
        assert (outcome.steps_before, outcome.steps_done, outcome.finished) == (3, 3, True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == dict.fromkeys(before, 0)


@pytest.mark.slow
def test_diffusers_opens_the_checkpoint_which_has_the_averaged_weights(tmp_path):
    from diffusers import DDPMPipeline

    run(tmp_path, RECIPE.with_training(steps=10))
    unet = DDPMPipeline.from_pretrained(tmp_path).unet
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    average, last = state["average"]["conv_in.weight"], state["unet"]["conv_in.weight"]
    assert torch.equal(unet.conv_in.weight, average)
    assert not torch.equal(average, last)
    assert (tmp_path / "samples" / "0000010.png").exists()
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_bar_says_what_is_done_after_the_last_step(tmp_path, capfd):
    train(RECIPE.with_training(steps=3), disks(), tmp_path, quiet=False, cpu=True)
    bar = capfd.readouterr().err
    places = [bar.find(stage) for stage in ("3/3", "saving the model", "saving the state", "drawing ")]
    assert -1 not in places
    assert places[1:] == sorted(places[1:])


def test_a_folder_of_another_recipe_stays_unchanged(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=5))
    with pytest.raises(CheckpointError, match=r"training\.learning_rate"):
        run(tmp_path, RECIPE.with_training(learning_rate=1e-3))


@pytest.mark.slow
def test_a_run_of_an_older_version_with_fewer_keys_resumes(tmp_path):
    run(tmp_path, RECIPE.with_training(steps=2))
    content = torch.load(tmp_path / "training_state.pt", weights_only=True)
    for key in ("mid_block_type", "resnet_time_scale_shift", "num_class_embeds"):
        del content["recipe"]["model"][key]
    torch.save(content, tmp_path / "training_state.pt")
    assert run(tmp_path, RECIPE.with_training(steps=3)).steps_done == 3


def test_several_processes_together_see_the_data_of_one_process():
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


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, every_step):
    """The command that torchrun launches, over gloo: the loss of every step is that of a single process."""
    np.savez(tmp_path / "disks.npz", images=disks())
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_TOML)
    command = ["-m", "ddpm_ref", "--config", recipe, "--data", tmp_path / "disks.npz", "--cpu", "--quiet"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, *command, "--out", tmp_path / "one"], check=True, env=environment)
    subprocess.run([*torchrun, *command, "--out", tmp_path / "two"], check=True, env=environment)
    assert len(losses(tmp_path / "one")) == 1
    # The mean of 50 losses; gradients are averaged in another order.
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-4)
