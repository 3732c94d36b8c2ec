"""Checkpoints of other code bases are recognised, built, exported and sampled."""

import json

import numpy as np
import pytest
import torch
from command import run
from diffusers_models import CIFAR, HO, PIPELINES, SCHEDULER, agree, random_model, save_pipeline

import ddpm_rt
from ddpm_export.sources import open_source
from ddpm_ref import betas as schedules
from ddpm_ref.errors import CheckpointError
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.engines.ort_cpu import open_session


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_that_diffusers_saved_is_the_same_network_and_schedule(tmp_path, name):
    config, scheduler = PIPELINES[name]
    pipeline = save_pipeline(tmp_path, config, scheduler)
    source = open_source(tmp_path)
    size = config["sample_size"]
    agree(source.module, pipeline.unet, torch.randn(2, 3, size, size), torch.tensor([3, 977]))
    np.testing.assert_allclose(
        source.betas, pipeline.scheduler.betas, rtol=1e-6, atol=1e-7
    )  # diffusers' betas are float32
    assert source.image_shape == (3, size, size)
    assert source.variance == scheduler.get("variance_type", "fixed_small")
    assert (source.prediction, source.clip, source.spacing) == ("eps", (-1.0, 1.0), "leading")


@pytest.mark.parametrize("kind", [None, "timestep"])
def test_a_labelled_model_comes_with_its_classes(tmp_path, kind):
    theirs = random_model(CIFAR | HO | {"class_embed_type": kind, "num_class_embeds": 7})
    theirs.save_pretrained(tmp_path / "model")
    facts = tmp_path / "facts.toml"
    facts.write_text(
        'betas = "linear:100:1e-3:0.1"\nprediction = "v"\nvariance = "fixed_small"\nclip = "none"\nnull_class = 6\n'
    )
    source = open_source(tmp_path / "model", facts)
    agree(source.module, theirs, torch.randn(2, 3, 16, 16), torch.tensor([3, 77]), torch.tensor([1, 6]))
    assert (source.classes, source.null_class) == (7, 6)
    assert (source.prediction, source.clip, len(source.betas)) == ("v", None, 100)


def test_a_number_of_classes_that_the_config_lacks_is_asked_for(tmp_path):
    random_model(CIFAR | HO | {"class_embed_type": "timestep"}).save_pretrained(tmp_path)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    with pytest.raises(CheckpointError, match="'classes' is missing"):
        open_source(tmp_path)


@pytest.fixture(scope="module")
def exported(shared):
    """A pipeline with the flags of google/ddpm-cifar10-32, and its export."""
    from diffusers import DDPMPipeline

    def make(folder):
        config, _ = PIPELINES["google/ddpm-cifar10-32"]
        save_pipeline(folder / "theirs", config, {"variance_type": "fixed_large"})
        result = run("export", folder / "theirs", "-o", folder / "unet.onnx")
        assert result.exit_code == 0, result.output

    folder = shared.folder("exported-pipeline", make)
    return DDPMPipeline.from_pretrained(folder / "theirs"), folder / "unet.onnx"


def open_model(path):
    session = open_session(path, threads=1)
    card = ddpm_rt.ModelCard.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    return card, lambda x, t: session.run(None, {"x": x, "t": t})[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_fifty_steps_of_the_export_match_those_of_its_pipeline(exported, monkeypatch, kind):
    """DDIM runs without clipping: with it, diffusers keeps the raw eps, and ours derives eps from the clipped x0."""
    import diffusers
    from diffusers.pipelines.ddim import pipeline_ddim
    from diffusers.pipelines.ddpm import pipeline_ddpm
    from diffusers.schedulers import scheduling_ddpm

    pipeline, path = exported
    tape = np.random.default_rng(0).standard_normal((51, 2, 3, 16, 16)).astype(np.float32)
    drawn = iter(tape)
    for module in (pipeline_ddim, pipeline_ddpm, scheduling_ddpm):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: torch.from_numpy(next(drawn)))
    card, denoise = open_model(path)
    if kind == "ddpm":
        theirs, clip, betas = pipeline, (-1.0, 1.0), np.array(card.betas)
        table = ddpm_rt.ddpm(card.schedule, ddpm_rt.timesteps(1000, 50, "leading"), variance="fixed_large")
    else:
        scheduler = diffusers.DDIMScheduler(num_train_timesteps=100, clip_sample=False)
        theirs, clip, betas = diffusers.DDIMPipeline(pipeline.unet, scheduler), None, np.linspace(1e-4, 0.02, 100)
        table = ddpm_rt.ddim(ddpm_rt.Schedule(betas), ddpm_rt.timesteps(100, 50, "leading"))
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(batch_size=2, num_inference_steps=50, output_type="np").images
    ours = iter(tape)
    for step in ddpm_rt.trajectory(
        denoise, table, card.image_shape, seed=0, samples=range(2), clip=clip, noise=lambda row: next(ours)
    ):
        x = step.x
    pictures = np.clip(x / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1)
    assert ((pictures > 0) & (pictures < 1)).mean() > 0.2  # clipping does not hide all pixels
    # diffusers has float32 tables with errors of up to 2e-4 at small t, where the coefficients matter least.
    np.testing.assert_allclose(pictures, expected, rtol=0, atol=1e-4)


class Attack:
    def __reduce__(self):
        return print, ("ran code",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": torch.ones(3)}, "are not known; known: a directory"),
        ({"conv_in.weight": torch.ones(3), "down_blocks.0.x": torch.ones(1)}, "name the directory"),
        ({"time_embed.0.weight": torch.ones(1), "input_blocks.0.0.weight": Attack()}, "more than tensors"),
        ([torch.ones(3)], "no state dict, or an empty one .list"),
        ({}, "no state dict"),
    ],
)
def test_a_file_of_an_unknown_layout_is_a_one_line_error(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)
    assert "ran code" not in capsys.readouterr().out


def test_the_error_for_an_unknown_path_lists_the_known_layouts(tmp_path):
    (tmp_path / "noise.pt").write_bytes(b"noise")
    for path, message in (
        (tmp_path, "known: a directory"),
        (tmp_path / "no", "does not exist"),
        (tmp_path / "noise.pt", "noise.pt"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_source(path)


def test_ho_s_networks_get_the_schedule_of_the_paper():
    np.testing.assert_array_equal(schedules.linear(1000), np.linspace(1e-4, 0.02, 1000))
