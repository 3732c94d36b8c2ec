"""Latent models: pictures are decoded, arrays are latents."""

import numpy as np
import pytest
from command import run
from condition_files import write_decoder
from gaussian_model import gaussian_card, write_gaussian
from PIL import Image

from ddpm_rt.artifacts.card_facts import Latents
from ddpm_rt.images.write import read_text

SHAPE = (4, 2, 3)


@pytest.fixture
def model(tmp_path):
    card = gaussian_card(image_shape=SHAPE, latents=Latents(2.0, 0.5, "decoder.onnx"))
    write_decoder(tmp_path / "decoder.onnx")
    return write_gaussian(tmp_path / "unet.onnx", card=card)


def decoded(latents):
    """x / scale + shift through the decoder, as bytes."""
    images = (latents / 2 + 0.5)[:, :3].repeat(2, axis=2).repeat(2, axis=3) + 0.25
    return np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)


def test_a_picture_is_decoded_and_an_array_is_latents(model, tmp_path):
    command = ("sample", "--engine", model, "--steps", 3, "--count", 2)
    assert run(*command, "--out", tmp_path / "x.npy").exit_code == 0
    latents = np.load(tmp_path / "x.npy")
    assert latents.shape == (2, *SHAPE)
    result = run(*command, "--out", tmp_path / "folder")
    assert result.exit_code == 0, result.output
    for sample, expected in enumerate(decoded(latents)):
        pixels = np.asarray(Image.open(tmp_path / "folder" / f"{sample:06d}.png"))
        # a value between two bytes may round either way
        assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert len(read_text(tmp_path / "folder" / "000000.png")["ddpm-rt.decoder"]) == 64
    assert "2 were there already" in run(*command, "--out", tmp_path / "folder").stdout
    assert run(*command, "--out", tmp_path / "x.gif").exit_code == 0


def test_a_decoder_that_is_missing_or_does_not_fit_is_one_line(model, tmp_path):
    def refused(message, out="x.png"):
        result = run("sample", "--engine", model, "--steps", 2, "--count", 1, "--out", tmp_path / out)
        assert result.exit_code == 1
        assert message in result.stderr.splitlines()[-1]
        assert not (tmp_path / out).exists()

    write_decoder(tmp_path / "decoder.onnx", channels=2)
    refused("must be [batch, 1 or 3, H, W] with fixed sides")
    write_decoder(tmp_path / "decoder.onnx", latents=(4, 4, 3))
    refused("but the model draws ['batch', 4, 2, 3]")
    (tmp_path / "decoder.onnx").unlink()
    refused("decoder.onnx")


def test_latents_of_any_scale_are_an_initial_image_and_are_inverted(model, tmp_path):
    np.save(tmp_path / "start.npy", np.full((1, *SHAPE), 4.0, np.float32))
    for command in (("sample", "--init-image", tmp_path / "start.npy"), ("invert", tmp_path / "start.npy")):
        result = run(*command, "--engine", model, "--steps", 3, "--out", tmp_path / "x.npy")
        assert result.exit_code == 0, result.output


def test_latents_without_a_decoder_are_no_picture(tmp_path):
    card = gaussian_card(image_shape=(3, 2, 3), latents=Latents(1.0, 0.0, None))
    engine = write_gaussian(tmp_path / "unet.onnx", card=card)
    result = run("sample", "--engine", engine, "--steps", 2, "--count", 1, "--out", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "latents of 3 x 2 x 3 without a decoder" in result.stderr
