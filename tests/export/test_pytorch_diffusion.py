"""pytorch_diffusion's layout."""

import pytest
import torch
from diffusers_models import CIFAR, HO, agree, random_model
from safetensors.torch import save_file

from ddpm_export.sources import open_source, pytorch_diffusion
from ddpm_export.sources.facts import Facts
from ddpm_ref.errors import CheckpointError
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet


def as_pytorch_diffusion(weights, levels, layers):
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


TOML = 'image_size = 16\nbetas = "linear:1000:1e-4:0.02"\nprediction = "eps"\nvariance = "fixed_large"\n'


def save_pytorch_diffusion(folder, weights, toml=TOML):
    torch.save(weights, folder / "model.ckpt")
    if toml:
        (folder / "model.toml").write_text(toml)
    return folder / "model.ckpt"


@pytest.mark.slow
def test_weights_of_pytorch_diffusion_give_the_network_with_ho_s_flags(tmp_path):
    theirs = random_model(CIFAR | HO)
    weights = as_pytorch_diffusion(theirs.state_dict(), 4, 1)
    source = open_source(
        save_pytorch_diffusion(tmp_path, {f"module.{name}": tensor for name, tensor in weights.items()})
    )
    save_file(weights, tmp_path / "model.safetensors")
    assert open_source(tmp_path / "model.safetensors").weights_sha256 == source.weights_sha256
    agree(source.module, theirs, torch.randn(2, 3, 16, 16), torch.tensor([3, 977]))
    assert (source.image_shape, source.variance, source.clip) == ((3, 16, 16), "fixed_large", (-1.0, 1.0))


@pytest.mark.parametrize(
    ("preset", "levels", "size", "variance"),
    [("cifar10", 4, 32, "fixed_large"), ("lsun256", 6, 256, "fixed_small")],
)
def test_ho_s_two_networks_are_recognised_by_their_shapes(tmp_path, preset, levels, size, variance):
    with torch.device("meta"):
        model = UNet(load_preset(preset).model)
    config, published = pytorch_diffusion.infer(tmp_path, as_pytorch_diffusion(model.state_dict(), levels, 2), Facts())
    assert (published.image_size, published.variance) == ((size, size), variance)
    assert config.sample_size == (size, size)
    with torch.device("meta"):
        same = UNet(config)
    assert {n: w.shape for n, w in same.state_dict().items()} == {n: w.shape for n, w in model.state_dict().items()}


def test_another_network_of_that_layout_needs_facts_from_the_toml(tmp_path):
    weights = as_pytorch_diffusion(random_model(CIFAR | HO).state_dict(), 4, 1)
    with pytest.raises(CheckpointError, match="'image_size' is missing"):
        open_source(save_pytorch_diffusion(tmp_path, weights, None))
    with pytest.raises(CheckpointError, match="not one of Ho et al.'s two networks; 'betas' is missing"):
        open_source(save_pytorch_diffusion(tmp_path, weights, "image_size = 16\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("temb.dense.1.bias"), "lack 'time_embedding.linear_2.bias'"),
        (lambda w: w.update({"up.9.block.0.conv1.weight": torch.ones(1)}), "contain 'up_blocks"),
        (lambda w: w.update({"mid.block_3.conv1.weight": torch.ones(1)}), "contain 'mid.block_3"),
        (lambda w: w.update({"norm_out.weight": torch.ones(3)}), "'conv_norm_out.weight' has shape"),
        (lambda w: w.pop("down.1.downsample.conv.weight"), "lack 'down_blocks.1.downsamplers.0.conv.weight'"),
        (lambda w: w.update({"down.7.block.0.conv1.weight": torch.ones(1)}), "no weight starts with 'down.4"),
    ],
)
def test_damaged_weights_of_that_layout_are_a_one_line_error(tmp_path, change, message):
    weights = as_pytorch_diffusion(random_model(CIFAR | HO).state_dict(), 4, 1)
    change(weights)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(save_pytorch_diffusion(tmp_path, weights))
    assert "\n" not in str(caught.value)
