"""`verify` compares a network in ONNX Runtime with its checkpoint."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from command import failed, run
from tiny_unet import DIGITS
from verify_command import measured, verify

from ddpm_export.onnx_export import export_onnx
from ddpm_export.sources import open_source
from ddpm_export.sources.checkpoint_card import card_of
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddpm_ref.unet import UNet
from ddpm_rt.artifacts.fitted_tables import embed
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.requests.sampler_options import SamplerOptions


def test_a_reference_without_torch_is_a_one_line_error(gaussian):
    script = "import sys; sys.modules['torch'] = None; from ddpm_rt.cli import main; main(sys.argv[1:])"
    asked = ["verify", gaussian, "--reference", "x"]
    result = subprocess.run([sys.executable, "-c", script, *asked], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "Error: torch is not installed: pip install 'ddpm-rt[export]', or compare with --engine-b"
    )


@pytest.fixture(scope="module")
def checkpoint(shared):
    """A random UNet as a checkpoint and as an exported engine."""
    return shared.folder("verified-checkpoint", make_checkpoint)


def make_checkpoint(folder):
    config = dataclasses.replace(
        DIGITS,
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    torch.manual_seed(0)
    made = Checkpoint(UNet(config).eval(), schedules.linear(1000), "eps", "fixed_large", (-1.0, 1.0), "trailing")
    save_checkpoint(folder / "model", made)
    source = open_source(folder / "model")
    export_onnx(source.module, card_of(source, folder / "model"), folder / "unet.onnx")


@pytest.mark.slow
def test_the_reference_does_not_run_tables_from_files(checkpoint, tmp_path):
    engine = tmp_path / "unet.onnx"
    engine.write_bytes((checkpoint / "unet.onnx").read_bytes())
    card = read_onnx_card(engine)
    embed(engine, SamplerOptions(sampler="dpm++", steps=6).compile(card), card)
    reference = ("--reference", checkpoint / "model")
    failed(run("verify", engine, *reference, "--sampler", "fitted"), "fitted tables", "--engine-b", code=2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [
    ["--sampler", "ddpm", "--steps", 250, "--count", 1],
    ["--sampler", "ddpm", "--steps", 48],
    ["--sampler", "ddim"],
    ["--sampler", "ddim", "--steps", 20, "--eta", 0.7, "--seed", 3, "--batch", 3],
])  # fmt: skip
def test_an_exported_network_follows_its_checkpoint_through_the_whole_chain(checkpoint, options):
    """The reference is independent code: PyTorch and the loops of ddpm_ref. The default tolerance is 2e-4."""
    code, found = measured(checkpoint / "unet.onnx", "--reference", checkpoint / "model", *options)
    assert code == 0, found["verdict"]
    assert found["tolerance"] == {"max_x": 2e-4, "min_psnr": None}
    assert max(step["x_max"] for step in found["steps"]) > 0  # the network is not compared with itself
    assert found["engine"]["weights_sha256"] == found["reference"]["weights_sha256"]


@pytest.mark.slow
def test_a_schedule_changed_after_the_export_is_refused(checkpoint, tmp_path):
    loaded = load_checkpoint(checkpoint / "model")
    betas = loaded.betas.copy()
    betas[13] *= 1.01
    save_checkpoint(tmp_path / "model", Checkpoint(loaded.unet, betas, "eps", "fixed_large", (-1.0, 1.0), "trailing"))
    failed(verify(checkpoint / "unet.onnx", "--reference", tmp_path / "model"), "schedule", "t = 13", "1 differ")


@pytest.mark.slow
def test_a_checkpoint_after_more_training_is_a_mismatched_reference(checkpoint, tmp_path):
    loaded = load_checkpoint(checkpoint / "model")
    with torch.no_grad():
        loaded.unet.conv_out.bias += 0.25
    save_checkpoint(tmp_path / "model", loaded)
    asked = [checkpoint / "unet.onnx", "--reference", tmp_path / "model", "--sampler", "ddim", "--steps", 5]
    failed(verify(*asked), "mismatched reference")
    code, found = measured(*asked, "--other-weights")
    assert code == 1
    assert found["steps"][0]["out_max"] == pytest.approx(0.25, abs=1e-4)  # both networks in float32
