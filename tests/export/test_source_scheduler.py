"""The scheduler of a checkpoint: unsupported settings, and the meaning of missing keys."""

import json

import pytest
from diffusers_models import CIFAR, HO, SCHEDULER, random_model

from ddpm_export.sources import open_source
from ddpm_ref.errors import CheckpointError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "ScoreSdeVeScheduler"),
        ({"_class_name": "KarrasVeScheduler"}, "KarrasVeScheduler"),
        ({"steps_offset": 1}, "steps_offset=1"),
        ({"_class_name": "DDIMScheduler", "set_alpha_to_one": False}, "set_alpha_to_one"),
        ({"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"variance_type": "fixed_large_log"}, "fixed_large_log"),
        ({"beta_schedule": "laplace"}, "laplace"),
        ({"clip_sample_range": "wide"}, "clip_sample_range"),
        ({"variance_type": "learned_range"}, "3 input channels and 3 output channels"),
    ],
)
def test_a_scheduler_with_an_unsupported_setting_is_refused_by_name(bare, change, message):
    (bare / "scheduler_config.json").write_text(json.dumps(SCHEDULER | change))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(bare)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "clip", "spacing"),
    [
        ({}, (-1.0, 1.0), "leading"),
        ({"clip_sample": False}, None, "leading"),
        ({"clip_sample_range": 2.5}, (-2.5, 2.5), "leading"),
        ({"steps_offset": 1, "timestep_spacing": "trailing"}, (-1.0, 1.0), "trailing"),
        ({"_class_name": "DDIMScheduler", "set_alpha_to_one": True}, (-1.0, 1.0), "leading"),
        ({"_class_name": "PNDMScheduler", "set_alpha_to_one": False}, None, "leading"),
        ({"_class_name": "DPMSolverMultistepScheduler"}, None, "linspace"),
    ],
)
def test_a_missing_key_has_the_default_of_its_scheduler(bare, change, clip, spacing):
    (bare / "scheduler_config.json").write_text(json.dumps(SCHEDULER | change))
    source = open_source(bare)
    assert (source.clip, source.spacing) == (clip, spacing)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A flat directory with a UNet and a scheduler that the tests write."""
    folder = tmp_path_factory.mktemp("bare")
    random_model(CIFAR | HO | {"block_out_channels": [32, 32, 32, 32]}).save_pretrained(folder)
    return folder


def test_a_unet_without_a_schedule_asks_for_its_betas(bare):
    (bare / "scheduler_config.json").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="'betas' is missing: put it into a TOML file"):
        open_source(bare)
