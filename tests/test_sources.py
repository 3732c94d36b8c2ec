"""Checkpoints that others wrote, through the front door: recognised, built, exported, sampled."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import ddpm_rt
from ddpm_export.sources import open_source, pesser
from ddpm_export.sources.facts import Facts
from ddpm_ref import betas as schedules
from ddpm_ref.errors import CheckpointError
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet
from ddpm_rt.card import METADATA_KEY
from ddpm_rt.cli import main
from ddpm_rt.ort import open_session

HO = {"attention_head_dim": None, "norm_eps": 1e-6, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1}
CIFAR = {
    "sample_size": 16,
    "block_out_channels": [32, 64, 64, 64],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
}
CAT = {
    "sample_size": 64,  # five halvings: 2 x 2 at the bottom, so that a group has 8 values to be normalised by
    "block_out_channels": [32, 32, 32, 32, 64, 64],
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
    "layers_per_block": 1,
}
SCRIPT = CAT | {"attention_head_dim": 8}  # the rest as UNet2DModel's defaults, which the script keeps
PIPELINES = {  # the flags of each family, at widths that a test can afford
    "google/ddpm-cifar10-32": (CIFAR | HO, {"variance_type": "fixed_large"}),
    "google/ddpm-cat-256": (CAT | HO, {"variance_type": "fixed_small"}),
    "train_unconditional.py": (SCRIPT, {"beta_schedule": "squaredcos_cap_v2"}),
}


def random_model(config):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    model = UNet2DModel(**config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
    return model


def save_pipeline(folder, config, scheduler):
    from diffusers import DDPMPipeline, DDPMScheduler

    pipeline = DDPMPipeline(unet=random_model(config), scheduler=DDPMScheduler(**scheduler))
    pipeline.save_pretrained(folder)
    return pipeline


def agree(module, theirs, *inputs):
    with torch.no_grad():
        expected = theirs(*inputs).sample
        assert expected.abs().max() > 0.1  # or the comparison would say nothing
        # float32 sums in another order, outputs of size one.
        torch.testing.assert_close(module(*inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_that_diffusers_saved_is_the_same_network_and_schedule(tmp_path, name):
    config, scheduler = PIPELINES[name]
    pipeline = save_pipeline(tmp_path, config, scheduler)
    source = open_source(tmp_path)
    size = config["sample_size"]
    agree(source.module, pipeline.unet, torch.randn(2, 3, size, size), torch.tensor([3, 977]))
    np.testing.assert_allclose(source.betas, pipeline.scheduler.betas, rtol=1e-6, atol=1e-7)  # theirs are float32
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


def test_classes_that_the_config_cannot_count_are_asked_for(tmp_path):
    random_model(CIFAR | HO | {"class_embed_type": "timestep"}).save_pretrained(tmp_path)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    with pytest.raises(CheckpointError, match="'classes' is not known"):
        open_source(tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """google/ddpm-cifar10-32's flags saved by diffusers, and what `ddpm-rt export` made of it."""
    folder = tmp_path_factory.mktemp("exported")
    config, _ = PIPELINES["google/ddpm-cifar10-32"]
    pipeline = save_pipeline(folder / "theirs", config, {"variance_type": "fixed_large"})
    result = CliRunner().invoke(main, ["export", str(folder / "theirs"), "-o", str(folder / "unet.onnx")])
    assert result.exit_code == 0, result.output
    return pipeline, folder / "unet.onnx"


def open_model(path):
    session = open_session(path, threads=1)
    card = ddpm_rt.ModelCard.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    return card, lambda x, t: session.run(None, {"x": x, "t": t})[0]


@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_fifty_steps_of_the_export_are_fifty_steps_of_the_pipeline_it_came_from(exported, monkeypatch, kind):
    """DDIM unclipped on 100 timesteps: diffusers keeps the raw eps where ours follows the clipped x0."""
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
    assert ((pictures > 0) & (pictures < 1)).mean() > 0.2  # not all of it is hidden by the clip
    # Theirs has float32 tables, off by up to 2e-4 at small t where the coefficients matter least.
    np.testing.assert_allclose(pictures, expected, rtol=0, atol=1e-4)


SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
}


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
        ({"variance_type": "learned_range"}, "3 channels in and 3 out"),
    ],
)
def test_a_scheduler_that_would_give_other_pictures_is_refused_by_name(bare, change, message):
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
def test_a_key_that_is_not_there_means_what_its_scheduler_does_then(bare, change, clip, spacing):
    (bare / "scheduler_config.json").write_text(json.dumps(SCHEDULER | change))
    source = open_source(bare)
    assert (source.clip, source.spacing) == (clip, spacing)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A UNet without a pipeline, side by side with a scheduler that the tests write."""
    folder = tmp_path_factory.mktemp("bare")
    random_model(CIFAR | HO | {"block_out_channels": [32, 32, 32, 32]}).save_pretrained(folder)
    return folder


def test_a_unet_without_a_schedule_asks_for_its_betas(bare):
    (bare / "scheduler_config.json").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="'betas' is not known: put it into a TOML file"):
        open_source(bare)


# pytorch_diffusion's layout.


def as_pesser(weights, levels, layers):
    """A UNet2DModel's weights under pytorch_diffusion's names, written out one by one."""
    names = {
        "conv_in": "conv_in",
        "temb.dense.0": "time_embedding.linear_1",
        "temb.dense.1": "time_embedding.linear_2",
        "mid.attn_1": "mid_block.attentions.0",
        "mid.block_1": "mid_block.resnets.0",
        "mid.block_2": "mid_block.resnets.1",
        "norm_out": "conv_norm_out",
        "conv_out": "conv_out",
    }
    for i in range(levels):
        for j in range(layers):
            names[f"down.{i}.block.{j}"] = f"down_blocks.{i}.resnets.{j}"
            names[f"down.{i}.attn.{j}"] = f"down_blocks.{i}.attentions.{j}"
        for j in range(layers + 1):
            names[f"up.{i}.block.{j}"] = f"up_blocks.{levels - 1 - i}.resnets.{j}"
            names[f"up.{i}.attn.{j}"] = f"up_blocks.{levels - 1 - i}.attentions.{j}"
        names[f"down.{i}.downsample.conv"] = f"down_blocks.{i}.downsamplers.0.conv"
        names[f"up.{i}.upsample.conv"] = f"up_blocks.{levels - 1 - i}.upsamplers.0.conv"
    inside = {"temb_proj": "time_emb_proj", "nin_shortcut": "conv_shortcut"}
    attention = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
    result = {}
    for theirs, ours in names.items():
        parts = (
            attention
            if ".attn" in theirs
            else {n: inside.get(n, n) for n in ("norm1", "conv1", "norm2", "conv2", *inside)}
        )
        for left, right in (("", ""), *((f".{left}", f".{right}") for left, right in parts.items())):
            for kind in ("weight", "bias"):
                if (tensor := weights.get(f"{ours}{right}.{kind}")) is not None:
                    matrix = ".attn" in theirs and tensor.ndim == 2
                    result[f"{theirs}{left}.{kind}"] = tensor[:, :, None, None] if matrix else tensor
    assert len(result) == len(weights)
    return result


PESSER_TOML = 'image_size = 16\nbetas = "linear:1000:1e-4:0.02"\nprediction = "eps"\nvariance = "fixed_large"\n'


def save_pesser(folder, weights, toml=PESSER_TOML):
    torch.save(weights, folder / "model.ckpt")
    if toml:
        (folder / "model.toml").write_text(toml)
    return folder / "model.ckpt"


def test_pytorch_diffusion_s_weights_are_the_network_with_ho_s_flags(tmp_path):
    theirs = random_model(CIFAR | HO)
    weights = as_pesser(theirs.state_dict(), 4, 1)
    source = open_source(save_pesser(tmp_path, {f"module.{name}": tensor for name, tensor in weights.items()}))
    save_file(weights, tmp_path / "model.safetensors")
    assert open_source(tmp_path / "model.safetensors").weights_sha256 == source.weights_sha256
    agree(source.module, theirs, torch.randn(2, 3, 16, 16), torch.tensor([3, 977]))
    assert (source.image_shape, source.variance, source.clip) == ((3, 16, 16), "fixed_large", (-1.0, 1.0))


@pytest.mark.parametrize(
    ("preset", "levels", "size", "variance"),
    [("cifar10", 4, 32, "fixed_large"), ("lsun256", 6, 256, "fixed_small")],
)
def test_ho_s_two_networks_are_known_by_their_shapes(tmp_path, preset, levels, size, variance):
    with torch.device("meta"):
        model = UNet(load_preset(preset).model)
    config, published = pesser.infer(tmp_path, as_pesser(model.state_dict(), levels, 2), Facts())
    assert (published.image_size, published.variance) == ((size, size), variance)
    assert config.sample_size == (size, size)
    with torch.device("meta"):
        same = UNet(config)
    assert {n: w.shape for n, w in same.state_dict().items()} == {n: w.shape for n, w in model.state_dict().items()}


def test_another_network_in_that_layout_is_asked_what_it_was_trained_for(tmp_path):
    weights = as_pesser(random_model(CIFAR | HO).state_dict(), 4, 1)
    with pytest.raises(CheckpointError, match="'image_size' is not known"):
        open_source(save_pesser(tmp_path, weights, None))
    with pytest.raises(CheckpointError, match="not one of Ho et al.'s two networks; 'betas' is not known"):
        open_source(save_pesser(tmp_path, weights, "image_size = 16\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("temb.dense.1.bias"), "lack 'time_embedding.linear_2.bias'"),
        (lambda w: w.update({"up.9.block.0.conv1.weight": torch.ones(1)}), "hold 'up_blocks"),
        (lambda w: w.update({"mid.block_3.conv1.weight": torch.ones(1)}), "hold 'mid.block_3"),
        (lambda w: w.update({"norm_out.weight": torch.ones(3)}), "'conv_norm_out.weight' has shape"),
        (lambda w: w.pop("down.1.downsample.conv.weight"), "lack 'down_blocks.1.downsamplers.0.conv.weight'"),
        (lambda w: w.update({"down.7.block.0.conv1.weight": torch.ones(1)}), "no weight under 'down.4'"),
    ],
)
def test_damaged_weights_of_that_layout_are_one_line(tmp_path, change, message):
    weights = as_pesser(random_model(CIFAR | HO).state_dict(), 4, 1)
    change(weights)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(save_pesser(tmp_path, weights))
    assert "\n" not in str(caught.value)


class Attack:
    def __reduce__(self):
        return print, ("ran code",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": torch.ones(3)}, "are not known; known: a directory"),
        ({"conv_in.weight": torch.ones(3), "down_blocks.0.x": torch.ones(1)}, "name the directory"),
        ({"time_embed.0.weight": torch.ones(1), "input_blocks.0.0.weight": Attack()}, "more than tensors"),
        ([torch.ones(3)], "no state dict, but list"),
        ({}, "no state dict"),
    ],
)
def test_a_file_that_is_no_known_layout_is_one_line(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)
    assert "ran code" not in capsys.readouterr().out


def test_a_folder_or_file_that_is_nothing_at_all_lists_what_is_known(tmp_path):
    (tmp_path / "noise.pt").write_bytes(b"noise")
    for path, message in (
        (tmp_path, "known: a directory"),
        (tmp_path / "no", "not there"),
        (tmp_path / "noise.pt", "noise.pt"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_source(path)


def test_the_schedule_that_ho_s_networks_are_given_is_the_paper_s():
    np.testing.assert_array_equal(schedules.linear(1000), np.linspace(1e-4, 0.02, 1000))
