import dataclasses

import pytest
import torch
from tiny_unet import DIGITS

from ddpm_ref.checkpoint import load_weights, weights_sha256
from ddpm_ref.config import UNetConfig
from ddpm_ref.errors import ConfigError
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet, init_like_ho

# The flags of diffusers' train_unconditional.py, with the defaults of its class.
TRAIN_UNCONDITIONAL = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 2,
    "block_out_channels": [128, 128, 256, 256, 512, 512],
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
}
GOOGLE_CIFAR10 = load_preset("cifar10").model.to_dict()
GOOGLE_CAT_256 = load_preset("lsun256").model.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raw", "size"),
    [
        pytest.param(GOOGLE_CIFAR10, 32, id="google/ddpm-cifar10-32"),
        pytest.param(GOOGLE_CAT_256, 64, id="google/ddpm-cat-256 at 64x64", marks=pytest.mark.slow),
        pytest.param(TRAIN_UNCONDITIONAL, 64, id="train_unconditional.py", marks=pytest.mark.slow),
        pytest.param(DIGITS.to_dict(), 28, id="digits"),
    ],
)
def test_the_unet_equals_diffusers_with_the_same_weights(raw, size):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    theirs = UNet2DModel(**{key: value for key, value in raw.items() if not key.startswith("_")}).eval()
    ours = UNet(UNetConfig.from_dict({key: theirs.config[key] for key in theirs.config})).eval()
    load_weights(ours, theirs.state_dict(), "diffusers")
    channels = theirs.config["in_channels"]
    x, t = torch.randn(2, channels, size, size), torch.tensor([3, 977])
    with torch.no_grad():
        expected, found = theirs(x, t).sample, ours(x, t)
    assert expected.abs().max() > 0.1  # or the comparison would say nothing
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


SMALL = DIGITS.to_dict() | {"sample_size": 16, "block_out_channels": [32, 64, 64], "layers_per_block": 1}
RESNET_BLOCKS = {
    "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
}
ATTENTION = {
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}
VARIATIONS = {
    "resnet blocks": RESNET_BLOCKS,
    "resnet resampling between attention": {**ATTENTION, "downsample_type": "resnet", "upsample_type": "resnet"},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "scale and shift, middle norm": {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 8},
    "as guided-diffusion": {**RESNET_BLOCKS, "resnet_time_scale_shift": "scale_shift", "out_channels": 2},
    "no attention in the middle": {"add_attention": False},
    "no middle": {"mid_block_type": None},
    "divided middle": {"mid_block_scale_factor": 2**0.5},
    "wide time embedding": {"time_embedding_dim": 96},
    "images from 0 to 1": {"center_input_sample": True},
    "swish": {"act_fn": "swish"},
    "rectangular": {"sample_size": [8, 16]},
    "small heads": {**ATTENTION, "attention_head_dim": 8},
    "class table": {"num_class_embeds": 10},
    "class as timestep": {"class_embed_type": "timestep"},
}


def randomised(model):
    """Weights that are all different, so that swapped weights change the output."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
            elif "class_embedding" in name:
                weight.copy_(torch.randn_like(weight))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("change", VARIATIONS.values(), ids=VARIATIONS)
def test_each_way_to_build_a_unet_equals_diffusers_with_the_same_weights(change):
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    raw = {key: value for key, value in (SMALL | change).items() if not key.startswith("_")}
    theirs = randomised(UNet2DModel(**raw))
    ours = UNet(UNetConfig.from_dict(dict(theirs.config))).eval()
    load_weights(ours, theirs.state_dict(), "diffusers")
    x, t, y = torch.randn(3, *ours.config.image_shape), torch.tensor([0, 3, 977]), torch.tensor([0, 3, 9])
    labels = {"class_labels": y} if ours.config.labelled else {}
    with torch.no_grad():
        expected = theirs(x, t, **labels).sample
        found = ours(x, t, *labels.values())
    assert expected.abs().max() > 0.1  # or the comparison would say nothing
    # float32 sums of a few thousand terms in another order, outputs of size one.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_only_models_with_classes_need_labels():
    x, t = torch.randn(1, 1, 16, 16), torch.tensor([5])
    with pytest.raises(ValueError, match="labels"):
        UNet(UNetConfig.from_dict(SMALL | {"num_class_embeds": 10}))(x, t)
    with pytest.raises(ValueError, match="labels"):
        UNet(UNetConfig.from_dict(SMALL))(x, t, torch.tensor([1]))


def test_the_cifar10_unet_has_the_parameters_of_ho_et_al():
    with torch.device("meta"):
        assert sum(weight.numel() for weight in UNet(load_preset("cifar10").model).parameters()) == 35_746_307


def test_the_256_unet_has_the_parameters_of_ho_et_al():
    with torch.device("meta"):
        assert sum(weight.numel() for weight in UNet(load_preset("lsun256").model).parameters()) == 113_673_219


def test_ho_s_initial_weights_are_centred_and_give_nearly_zero_output():
    model = UNet(DIGITS)
    init_like_ho(model, torch.Generator().manual_seed(0))
    weight = model.mid_block.resnets[0].conv1.weight
    fan = weight.shape[1] * 9  # channels in and out are equal here
    assert float(weight.detach().var()) == pytest.approx(1 / fan, rel=0.02)  # 83 000 values: 0.5 % standard error
    with torch.no_grad():
        out = model(torch.randn(2, 1, 28, 28), torch.tensor([0, 999]))
    assert out.abs().max() < 1e-3


def test_every_weight_changes_the_hash():
    model = UNet(DIGITS)
    before = weights_sha256(model.state_dict())
    with torch.no_grad():
        model.conv_out.bias += 1e-7
    assert weights_sha256(model.state_dict()) != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"down_block_types": ["SkipDownBlock2D"] * 3}, "SkipDownBlock2D"),
        ({"up_block_types": ["AttnSkipUpBlock2D"] * 3}, "AttnSkipUpBlock2D"),
        ({"down_block_types": ["KDownBlock2D"] * 3}, "KDownBlock2D"),
        ({"up_block_types": ["UpBlock2D"] * 2}, "levels"),
        ({"act_fn": "gelu"}, "act_fn"),
        ({"time_embedding_type": "fourier"}, "fourier"),
        ({"resnet_time_scale_shift": "spatial"}, "spatial"),
        ({"class_embed_type": "identity"}, "identity"),
        ({"downsample_type": "fir"}, "fir"),
        ({"mid_block_type": "UNetMidBlock2DCrossAttn"}, "UNetMidBlock2DCrossAttn"),
        ({"downsample_padding": 2}, "downsample_padding"),
        ({"attn_norm_num_groups": 5}, "attn_norm_num_groups"),
        ({"attention_head_dim": 7}, "heads"),
        ({"norm_num_groups": 5}, "norm_num_groups"),
        ({"norm_num_groups": 0}, "norm_num_groups"),
        ({"colour": 1}, "unknown key 'colour'"),
    ],
)
def test_a_config_that_is_not_supported_is_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        UNetConfig.from_dict(DIGITS.to_dict() | change)


@pytest.mark.parametrize("key", [f.name for f in dataclasses.fields(UNetConfig) if f.default is dataclasses.MISSING])
def test_a_missing_key_is_an_error_and_never_a_guess(key):
    raw = DIGITS.to_dict()
    del raw[key]
    with pytest.raises(ConfigError, match=key):
        UNetConfig.from_dict(raw)


def test_one_head_and_an_absent_head_size_are_not_the_same():
    assert UNetConfig.from_dict(DIGITS.to_dict() | {"attention_head_dim": None}).heads(96) == 1
    assert UNetConfig.from_dict(DIGITS.to_dict() | {"attention_head_dim": 8}).heads(96) == 12


def test_norms_stay_in_float32_under_autocast():
    """Norms sum over thousands of elements, which would lose digits in bfloat16."""
    model = UNet(UNetConfig.from_dict(SMALL))
    seen = []
    for module in model.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        out = model(torch.randn(1, 1, 16, 16), torch.tensor([5]))
    assert (set(seen), out.dtype) == ({torch.float32}, torch.bfloat16)
