"""Recipes: refused values, presets, and learning rates."""

import dataclasses

import pytest
from tiny_training import RECIPE, TINY_TOML

from ddpm_ref.errors import RecipeError
from ddpm_ref.recipe import Training, load_preset, load_recipe, preset_names


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
def test_the_error_for_an_invalid_recipe_names_the_key(tmp_path, line, instead, message):
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
        ("model", {"out_channels": 6}, "fixed_small needs as many model.out_channels"),
        ("model", {"class_embed_type": "timestep"}, "does not support model.class_embed_type"),
        ("diffusion", {"variance": "learned_range"}, "learned_range needs twice as many model.out_channels"),
        ("training", {"label_dropout": 0.1}, "label_dropout 0.1 needs num_class_embeds"),
        ("training", {"label_dropout": 1.0}, "label_dropout must lie in"),
        ("training", {"min_snr_gamma": -1.0}, "min_snr_gamma must be"),
    ],
)
def test_a_recipe_that_the_trainer_does_not_support_is_refused(section, change, message):
    with pytest.raises(RecipeError, match=message):
        dataclasses.replace(RECIPE, **{section: dataclasses.replace(getattr(RECIPE, section), **change)})


def test_the_learning_rate_rises_stays_and_falls():
    training = Training(
        batch_size=1, steps=100, learning_rate=1.0, warmup_steps=10, cooldown_steps=20, ema_decay=0.9, ema_warmup=True
    )
    assert [training.rate_at(step) for step in (0, 9, 50, 80, 90, 99)] == pytest.approx([0.1, 1, 1, 1, 0.5, 0.05])
    assert [training.ema_at(step) for step in (0, 10_000)] == [0.1, 0.9]
