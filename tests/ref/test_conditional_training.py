"""Training with class labels and with a learned variance: resuming, output files, compatibility with diffusers."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_training import TINY, TINY_TOML

import ddpm_rt
from ddpm_export.sources import open_source
from ddpm_ref.batches import Source, batches
from ddpm_ref.checkpoint import load_checkpoint
from ddpm_ref.errors import CheckpointError
from ddpm_ref.recipe import Process, Recipe, Training
from ddpm_ref.report import Grid, as_grid
from ddpm_ref.trainer import train
from ddpm_rt.cli import main

CLASSES = 3
MODEL = dataclasses.replace(TINY, num_class_embeds=CLASSES + 1)
LABELLED = Recipe(
    model=MODEL,
    diffusion=Process(schedule="cosine", steps=50, prediction="v", variance="fixed_small"),
    training=Training(
        batch_size=8,
        steps=30,
        learning_rate=5e-3,
        warmup_steps=5,
        ema_decay=0.95,
        ema_warmup=True,
        label_dropout=0.25,
        min_snr_gamma=5.0,
        seed=3,
        checkpoint_every=10,
        sample_every=30,
        sample_count=10,
    ),
)
BOTH = dataclasses.replace(
    LABELLED,
    model=dataclasses.replace(MODEL, out_channels=2),
    diffusion=dataclasses.replace(LABELLED.diffusion, variance="learned_range"),
)
RECIPES = {"labels": LABELLED, "labels and a learned variance": BOTH}
RESUMED = {**RECIPES, "both in bfloat16": BOTH.with_training(precision="bf16")}


def bars(count=60):
    """Dark, gray and bright images with some noise, uint8 `[N, 8, 8, 1]`, and their classes `[N]`."""
    labels = np.arange(count) % CLASSES
    noise = np.random.default_rng(0).integers(0, 40, (count, 8, 8, 1))
    return (labels[:, None, None, None] * 100 + noise).astype(np.uint8), labels


def run(folder, recipe, **options):
    images, labels = bars()
    return train(recipe, images, folder, labels=labels, quiet=True, cpu=True, **options)


@pytest.fixture(scope="session")
def trained(shared):
    """A run that knows the classes and a learned variance, with a grid of samples."""
    recipe = BOTH.with_training(steps=200, sample_every=200, sample_count=16)
    return shared.folder("trained-bars", lambda folder: run(folder, recipe))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RESUMED.values(), ids=RESUMED)
def test_a_resumed_run_has_the_losses_and_weights_of_one_that_never_stopped(tmp_path, every_step, recipe):
    run(tmp_path / "whole", recipe)
    run(tmp_path / "parts", recipe.with_training(steps=7))
    run(tmp_path / "parts", recipe)
    curves = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "parts")]
    whole, parts = ([line.split(",")[1] for line in curve] for curve in curves)
    assert whole == parts
    assert len(whole) == 31
    hashes = [load_checkpoint(tmp_path / name).weights_sha256 for name in ("whole", "parts")]
    assert hashes[0] == hashes[1]


def test_a_run_does_not_resume_with_other_labels(tmp_path):
    images, labels = bars()
    run(tmp_path, LABELLED.with_training(steps=1))
    with pytest.raises(CheckpointError, match="other images"):
        train(LABELLED, images, tmp_path, labels=labels[::-1].copy(), quiet=True, cpu=True)


def test_only_recipes_with_classes_need_labels(tmp_path):
    images, labels = bars()
    plain = dataclasses.replace(
        LABELLED.with_training(label_dropout=0.0), model=dataclasses.replace(MODEL, num_class_embeds=None)
    )
    for recipe, given in ((LABELLED, None), (plain, labels)):
        with pytest.raises(ValueError, match="a model with classes needs labels; a model without classes takes none"):
            train(recipe, images, tmp_path / "run", labels=given, quiet=True, cpu=True)
    assert not (tmp_path / "run").exists()


def test_the_recipe_sets_the_share_of_dropped_labels_and_the_others_stay():
    images, labels = bars(1000)
    images[:, 0, 0, 0] = labels  # each image contains its own label
    batch = next(iter(batches(Source(images, labels, LABELLED.with_training(batch_size=1000)), first=0)))
    dropped = batch.y == CLASSES
    assert 0.19 < dropped.float().mean() < 0.31  # 0.25 +- four and a half standard errors
    own = ((batch.x0[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(batch.y[~dropped], own[~dropped])


def test_without_dropout_there_is_no_null_class_and_every_label_stays():
    images, labels = bars()
    recipe = LABELLED.with_training(label_dropout=0.0, batch_size=60)
    assert (recipe.null_class, recipe.classes) == (None, CLASSES + 1)
    assert (LABELLED.null_class, LABELLED.classes) == (CLASSES, CLASSES)
    batch = next(iter(batches(Source(images, labels, recipe), first=0)))
    assert sorted(batch.y.tolist()) == sorted(labels.tolist())


def test_several_processes_together_see_the_labels_of_one_process():
    images, labels = bars()
    whole = next(iter(batches(Source(images, labels, LABELLED), first=2)))
    shares = [next(iter(batches(Source(images, labels, LABELLED, rank, 2), first=2))) for rank in range(2)]
    assert torch.equal(torch.stack([share.y for share in shares], dim=1).flatten(), whole.y)


@pytest.mark.slow
def test_the_label_decides_what_a_trained_model_draws(trained, tmp_path):
    """The exported model draws the mean brightness of each class, with the learned variance."""
    source = open_source(trained)
    assert (source.classes, source.null_class) == (CLASSES + 1, CLASSES)
    exported = CliRunner().invoke(main, ["export", str(trained), "-o", str(tmp_path / "unet.onnx")])
    assert exported.exit_code == 0, exported.output
    engine = ddpm_rt.open_denoiser(tmp_path / "unet.onnx")
    assert (engine.card.classes, engine.card.null_class) == (CLASSES + 1, CLASSES)
    images, labels = bars()
    for label in range(CLASSES):
        drawn = ddpm_rt.sample(engine, label=label, sampler="ddpm", steps=50, count=8)
        wanted = images[labels == label].mean() / 127.5 - 1
        assert drawn.mean() == pytest.approx(wanted, abs=0.2)  # classes are 0.78 apart


@pytest.mark.slow
def test_a_learned_variance_has_a_lower_bound_than_a_fixed_one(trained):
    """After training, L_vlb with the learned variance is lower than with beta or beta tilde, for the same mean."""
    from ddpm_ref.diffusion import Diffusion
    from ddpm_ref.loss import Loss

    unet = load_checkpoint(trained).unet
    images, labels = bars()
    x0 = torch.from_numpy(images.transpose(0, 3, 1, 2) / 127.5 - 1).float()
    loss = Loss(Diffusion(BOTH.diffusion.betas, "v"), "learned_range")
    bits = {"learned": 0.0, "small": 0.0, "large": 0.0}
    for step in range(1, 50):
        t = torch.full((len(x0),), step)
        x = loss.diffusion.q_sample(x0, t, torch.randn(x0.shape, generator=torch.Generator().manual_seed(step)))
        with torch.no_grad():
            out, spread = unet(x, t, torch.from_numpy(labels)).chunk(2, dim=1)
        for name, value in (("learned", spread), ("small", -torch.ones_like(x)), ("large", torch.ones_like(x))):
            bits[name] += float(loss.vlb_term(out, value, x0, x, t).mean())
    assert bits["learned"] < min(bits["small"], bits["large"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_diffusers_opens_the_checkpoint_without_a_warning_and_gives_the_same_output(tmp_path, recipe, caplog):
    from diffusers import DDPMPipeline

    run(tmp_path, recipe.with_training(steps=5))
    with warnings.catch_warnings(), caplog.at_level("WARNING"):
        warnings.simplefilter("error")
        pipeline = DDPMPipeline.from_pretrained(tmp_path)
    assert not [record for record in caplog.records if "not expected" in record.getMessage()]
    x, t, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 10, 30, 49]), torch.arange(4)
    with torch.no_grad():
        theirs, ours = pipeline.unet(x, t, class_labels=y).sample, load_checkpoint(tmp_path).unet(x, t, y)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    step = pipeline.scheduler.step(theirs[:1], 49, x[:1])  # `step` splits off the channels of a learned variance
    assert step.prev_sample.shape == (1, 1, 8, 8)
    assert pipeline.scheduler.config.variance_type == recipe.diffusion.variance


def test_the_null_class_is_kept_in_the_checkpoint_and_a_wrong_one_is_named(tmp_path):
    run(tmp_path, LABELLED.with_training(steps=2))
    assert load_checkpoint(tmp_path).null_class == CLASSES
    file = tmp_path / "unet" / "config.json"
    raw = json.loads(file.read_text())
    for value, message in ((9, "null class 9 is outside num_class_embeds=4"), ("x", "must be a whole number")):
        file.write_text(json.dumps(raw | {"_null_class": value}))
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(tmp_path)
        with pytest.raises(CheckpointError, match=message):
            open_source(tmp_path)


@pytest.mark.slow
def test_the_recipe_can_keep_copies_of_the_checkpoint(tmp_path):
    run(tmp_path, LABELLED.with_training(steps=8, keep_every=3))
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [folder.name for folder in kept] == ["0000003", "0000006"]
    run(tmp_path / "short", LABELLED.with_training(steps=6))
    assert load_checkpoint(kept[1]).weights_sha256 == load_checkpoint(tmp_path / "short").weights_sha256
    assert load_checkpoint(tmp_path).weights_sha256 != load_checkpoint(kept[1]).weights_sha256


def test_the_sample_grid_has_one_row_a_class():
    grid = Grid.of(10, 4)
    assert (grid.count, grid.columns, grid.labels.tolist()) == (8, 2, [0, 0, 1, 1, 2, 2, 3, 3])
    assert Grid.of(3, 1000).labels.tolist() == [0, 1, 2]
    assert (Grid.of(10, None).columns, Grid.of(10, None).labels) == (5, None)
    assert [Grid.of(count, None).columns for count in (1, 7, 16, 97)] == [1, 4, 4, 14]
    shades = torch.linspace(-1, 1, 4)[grid.labels].reshape(8, 1, 1, 1).expand(-1, 1, 8, 8)
    picture = as_grid(shades, grid.columns)
    assert picture.shape == (32, 16, 1)
    np.testing.assert_array_equal(picture[::8, 0, 0], [0, 85, 170, 255])
    assert (picture == picture[:, :1]).all()  # a row is one class


@pytest.mark.slow
def test_the_grid_of_a_run_shows_its_classes_in_rows(trained):
    from PIL import Image

    picture = np.asarray(Image.open(trained / "samples" / "0000200.png"))
    assert picture.shape == (32, 32)
    rows = picture.reshape(4, 8, 32).mean((1, 2))
    for label in range(CLASSES):
        assert rows[label] == pytest.approx(label * 100 + 20, abs=25)


def test_the_command_reads_labels_and_reports_missing_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = bars()
    np.savez("set.npz", images=images, labels=labels)
    np.savez("bare.npz", images=images)
    toml = TINY_TOML.replace("freq_shift = 0", f"freq_shift = 0\nnum_class_embeds = {CLASSES + 1}")
    (tmp_path / "r.toml").write_text(f"{toml}label_dropout = 0.1\n")
    command = ["train", "--config", "r.toml", "--cpu", "--quiet", "--steps", "2"]
    done = CliRunner().invoke(main, [*command, "--data", "set.npz", "--out", "run"])
    assert (done.exit_code, done.output) == (0, "run: trained for 2 steps on 60 images\n")
    assert load_checkpoint(tmp_path / "run").null_class == CLASSES
    lacking = CliRunner().invoke(main, [*command, "--data", "bare.npz", "--out", "other"])
    assert (lacking.exit_code, lacking.stdout) == (1, "")
    assert lacking.stderr == ("Error: bare.npz contains ['images'], but no labels, which a model with classes needs\n")
