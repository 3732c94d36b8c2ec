"""Pipelines of diffusers whose network draws latents: the network and the decoder become two files."""

import json
import sys

import numpy as np
import pytest
import torch
from command import run
from diffusers import AutoencoderKL, DDIMScheduler, LDMPipeline, VQModel
from diffusers_models import random_model
from PIL import Image

from ddpm_export.peers.latent import export_decoder
from ddpm_export.sources import open_source
from ddpm_ref.errors import CheckpointError
from ddpm_rt.noise import INITIAL_STEP, normal

UNET = {
    "sample_size": 8, "in_channels": 3, "out_channels": 3, "block_out_channels": [16, 16], "layers_per_block": 1,
    "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2, "norm_num_groups": 8,
    "attention_head_dim": 8,
}  # fmt: skip
BLOCKS = {
    "block_out_channels": (8, 16), "latent_channels": 3, "norm_num_groups": 4, "sample_size": 16,
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
}  # fmt: skip
SHAPE, STEPS, COUNT, SEED = (3, 8, 8), 3, 2, 5


def autoencoder(kind=VQModel, **options):
    torch.manual_seed(1)
    made = kind(**BLOCKS, **options).eval()
    if kind is VQModel:  # new codes are all next to 0, where rounding chooses between them
        torch.nn.init.normal_(made.quantize.embedding.weight)
    return made


def pipeline(**options):
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195, clip_sample=False)
    vq = autoencoder(num_vq_embeddings=64, scaling_factor=0.5, **options)
    return LDMPipeline(vqvae=vq, unet=random_model(UNET), scheduler=scheduler)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ldm")
    pipeline().save_pretrained(path)
    return path


def change(path, **facts):
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.slow
def test_the_files_of_a_pipeline_draw_its_pictures(tmp_path, folder):
    result = run("export", folder, "-o", tmp_path / "unet.onnx")
    assert result.exit_code == 0, result.output
    for name in ("unet.onnx", "unet.decoder.onnx"):
        assert (tmp_path / name).is_file()
        assert f"{name}: " in result.stdout
    command = ("sample", tmp_path / "unet.onnx", "--steps", STEPS, "--seed", SEED, "--count", COUNT)
    result = run(*command, "--dialect", "diffusers", "--out", tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    own = pipeline()
    own.set_progress_bar_config(disable=True)
    noise = torch.from_numpy(normal(SEED, range(COUNT), INITIAL_STEP, 192)).reshape(COUNT, *SHAPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[LDMPipeline.__module__], "randn_tensor", lambda *given, **more: noise)
        wanted = own(batch_size=COUNT, num_inference_steps=STEPS, output_type="np").images
    for sample in range(COUNT):
        found = np.asarray(Image.open(tmp_path / "pictures" / f"{sample:06d}.png"), np.float64)
        assert found.shape == (16, 16, 3)
        # A byte rounds by half; a latent that rounding brings to another code would differ by tens.
        assert np.abs(found - 255 * wanted[sample]).max() <= 1
    assert wanted.std() > 0.05  # or the comparison would say nothing


@pytest.mark.slow
def test_the_decoder_of_an_autoencoder_matches_pytorch(tmp_path):
    found = export_decoder(autoencoder(AutoencoderKL), SHAPE, tmp_path / "decoder.onnx")
    assert found["max_abs_error"] <= 1e-4 * found["max_abs_out"]


def test_the_card_holds_scale_and_shift_and_the_network_its_latents(folder, tmp_path):
    from ddpm_export.sources.checkpoint_card import card_of

    card = card_of(open_source(folder), folder, "unet.decoder.onnx")
    assert card.image_shape == SHAPE
    assert (card.latents.scale, card.latents.shift, card.latents.decoder) == (0.5, 0.0, "unet.decoder.onnx")
    assert not card.is_picture


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: change(p / "vqvae/config.json", _class_name="AutoencoderDC"), "'AutoencoderDC' is not a decoder"),
        (lambda p: change(p / "vqvae/config.json", block_out_channels=[8, 32]), "the config needs"),
        (lambda p: change(p / "vqvae/config.json", up_block_types=["NoBlock", "NoBlock"]), "cannot build this VQModel"),
        (lambda p: change(p / "vqvae/config.json", unknown=1), "cannot build this VQModel"),
        (lambda p: change(p / "model_index.json", text_encoder=["t", "CLIP"]), "text_encoder.*was trained with"),
        (lambda p: change(p / "model_index.json", vae=["diffusers", "AutoencoderKL"]), "'vqvae'.*is a second decoder"),
        (lambda p: (p / "vqvae" / "config.json").unlink(), r"config\.json"),
        (lambda p: torch.save(ModuleType(), rewritten(p / "vqvae")), "more than tensors"),
    ],
)
def test_a_pipeline_that_is_no_network_with_one_decoder_is_refused_in_one_line(tmp_path, damage, message):
    pipeline().save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(tmp_path)
    assert "\n" not in str(caught.value)


class ModuleType:
    """An object that a pickle would build by running code."""


def rewritten(folder):
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    return folder / "diffusion_pytorch_model.bin"


def test_without_diffusers_the_error_names_the_package(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(CheckpointError, match="pip install diffusers"):
        open_source(folder)
