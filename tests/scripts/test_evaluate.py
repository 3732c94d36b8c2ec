"""The labels that `evaluate.py` draws, and its figures for them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluate import Drawing, Judge, Mnist, opened, row
from gaussian_model import conditional_card, gaussian_card, write_conditional
from mnist_classifier import Classifier, answers
from recipe_search import changed

import ddpm_rt
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet
from ddpm_rt.evaluate.gaussian import Gaussian
from ddpm_rt.images.write import to_pixels

SMALL = {"block_out_channels": (8,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
DRAWING = Drawing(count=7, seed=3, batch=4, guidance=1.0)


@pytest.fixture
def judge():
    """A judge with an untrained classifier and 200 images of noise."""
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8)
    judge = Judge.__new__(Judge)
    judge.data = Mnist(images[:100], np.arange(100) % 10, images[100:], np.arange(100) % 10)
    judge.classifier = Classifier().eval()
    judge.reference = Gaussian.of(answers(judge.classifier, images[100:]).features)
    judge.shares = np.full(10, 0.1)
    return judge


def test_the_column_right_is_the_share_of_images_that_show_their_label(judge):
    images = judge.data.test_images
    shown = answers(judge.classifier, images).probabilities.argmax(1)
    half = np.where(np.arange(100) < 50, shown, (shown + 1) % 10)
    for labels, share in ((shown, 1.0), (half, 0.5), (None, None)):
        assert judge.report(images, labels)["right"] == share
    assert "50.0%" in row("half", judge.report(images, half), 1.0)


def test_a_training_image_is_its_own_nearest_neighbour_and_a_test_image_is_not(judge):
    assert judge.report(judge.data.train_images, None)["nearest_training_image"]["median"] == 0.0
    found = judge.test_report(60)
    assert found["nearest_training_image"]["smallest"] > 1.0  # images of noise are at least 2.8 apart
    assert sum(found["classes"]["counts"]) == 60


def test_samples_cycle_through_all_classes_but_the_null_class(tmp_path):
    with opened(write_conditional(tmp_path / "x.onnx")) as engine:
        assert DRAWING.labels(engine.card) == [0, 1, 2]
        images, asked, _ = DRAWING.draw("ddim:5", engine)
        assert asked.tolist() == [0, 1, 2, 0, 1, 2, 0]
        expected = ddpm_rt.sample(engine, label=[0, 1, 2], sampler="ddim", steps=5, count=7, seed=3)
    np.testing.assert_array_equal(images, to_pixels(expected)[..., 0])
    assert DRAWING.labels(gaussian_card()) is None


def test_images_of_the_null_class_are_neither_right_nor_wrong(tmp_path):
    drawing = replace(DRAWING, null_class=True)
    with opened(write_conditional(tmp_path / "x.onnx")) as engine:
        images, asked, _ = drawing.draw("ddim:5", engine)
        expected = ddpm_rt.sample(engine, label=3, sampler="ddim", steps=5, count=7, seed=3)
    assert asked is None
    np.testing.assert_array_equal(images, to_pixels(expected)[..., 0])
    assert drawing.labels(conditional_card(null_class=None)) == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_checkpoint_directory_is_opened_as_its_export(tmp_path):
    torch.manual_seed(0)
    recipe = load_preset("mnist")
    model, process = replace(recipe.model, **SMALL), recipe.diffusion
    checkpoint = Checkpoint(
        UNet(model).eval(), process.betas, process.prediction, process.variance, (-1.0, 1.0), null_class=10
    )
    save_checkpoint(tmp_path, checkpoint)
    x, t, y = torch.randn(2, 1, 28, 28), torch.tensor([5, 900]), torch.tensor([3, 10])
    with opened(tmp_path) as engine, torch.no_grad():
        assert (engine.card.classes, engine.card.null_class) == (11, 10)
        out = engine(x.numpy(), t.numpy(), y.numpy())
        np.testing.assert_allclose(out, checkpoint.unet(x, t, y).numpy(), rtol=0, atol=1e-4)


def test_a_change_replaces_keys_of_the_recipe_and_no_others():
    base = load_preset("mnist")
    other = changed(base, 'model.block_out_channels=[16,32,96]; training.learning_rate=2e-3; training.precision="fp32"')
    assert other.model.block_out_channels == (16, 32, 96)
    assert (other.training.learning_rate, other.training.precision) == (2e-3, "fp32")
    assert other.diffusion == base.diffusion
    assert changed(base, " ") == base
    with pytest.raises(TypeError, match="colour"):
        changed(base, "model.colour=1")
