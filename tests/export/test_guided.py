import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from guided_reference import Hyper, forward, random_state

from ddpm_export.sources import open_source
from ddpm_export.sources.facts import Facts
from ddpm_export.sources.guided import infer
from ddpm_ref import betas as schedules
from ddpm_ref.errors import CheckpointError
from ddpm_ref.guided_config import GuidedConfig
from ddpm_ref.guided_unet import GuidedUNet
from ddpm_rt import ModelCard
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.cli import main
from ddpm_rt.engines.ort_cpu import open_session

KNOWN = {"image_size": 16, "betas": "cosine:1000", "prediction": "eps", "variance": "fixed_large"}
NETWORKS = {
    "improved-diffusion": (Hyper(scale_shift=True), {"heads": 2, "attention_order": "legacy"}),
    "legacy order": (Hyper(num_heads=4), {"heads": 4, "attention_order": "legacy"}),
    "new order": (Hyper(num_heads=4, new_order=True), {"heads": 4, "attention_order": "new"}),
    "one head": (Hyper(num_heads=1), {"heads": 1}),
    "learned variance": (Hyper(learn_sigma=True), {"heads": 2, "attention_order": "legacy"}),
    "half a first width": (Hyper(num_channels=64, channel_mult=(0.5, 1)), {"heads": 2, "attention_order": "legacy"}),
    "attention at every level": (Hyper(attention_ds=(1, 2)), {"heads": 2, "attention_order": "legacy"}),
    "one level": (Hyper(channel_mult=(1,), attention_ds=(1,)), {"heads": 2, "attention_order": "legacy"}),
    "ADM": (
        Hyper(
            channel_mult=(1, 2, 2),
            num_res_blocks=2,
            attention_ds=(2, 4),
            scale_shift=True,
            resblock_updown=True,
            learn_sigma=True,
            new_order=True,
            classes=5,
        ),
        {"head_channels": 32, "attention_order": "new"},
    ),
}


def toml(facts):
    """Strings, numbers, booleans and lists have the same form in JSON and TOML."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in facts.items())


def save(folder, hyper, facts, state=None):
    """A weights file with a TOML file beside it."""
    path = folder / "model.pt"
    torch.save(random_state(hyper) if state is None else state, path)
    path.with_suffix(".toml").write_text(toml(facts))
    return path


def example(hyper, batch=3):
    generator = torch.Generator().manual_seed(1)
    x, t = torch.randn(batch, 3, 16, 16, generator=generator), torch.tensor([0, 41, 999])[:batch]
    return (x, t) if hyper.classes is None else (x, t, torch.arange(batch) * 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_inferred_from_the_weights_equals_the_published_equations(tmp_path, name):
    hyper, facts = NETWORKS[name]
    facts = KNOWN | facts
    if hyper.learn_sigma:
        del facts["variance"]
    source = open_source(save(tmp_path, hyper, facts))
    inputs = example(hyper)
    expected = forward(random_state(hyper), hyper, *inputs)
    with torch.no_grad():
        found = source.module(*inputs)
    assert expected.abs().max() > 0.5  # or the comparison would say nothing
    # float32 against float64 through some thirty layers, outputs of size one.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    assert source.variance == ("learned_range" if hyper.learn_sigma else "fixed_large")
    assert (source.image_shape, source.classes, source.clip) == ((3, 16, 16), hyper.classes, (-1.0, 1.0))
    np.testing.assert_array_equal(source.betas, schedules.cosine(1000))


def test_the_order_of_heads_changes_the_output(tmp_path):
    hyper, facts = NETWORKS["legacy order"]
    source = open_source(save(tmp_path, hyper, KNOWN | facts | {"attention_order": "new"}))
    inputs = example(hyper)
    with torch.no_grad():
        wrong = source.module(*inputs)
    assert (wrong - forward(random_state(hyper), hyper, *inputs)).abs().max() > 0.01


def test_rescaled_timesteps_reach_the_network_as_fractions(tmp_path):
    hyper = Hyper(num_heads=1, time_scale=1000 / 4000)
    facts = KNOWN | {"betas": "cosine:4000", "heads": 1, "rescale_timesteps": True}
    source = open_source(save(tmp_path, hyper, facts))
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 3999])
    with torch.no_grad():
        torch.testing.assert_close(
            source.module(x, t).double(), forward(random_state(hyper), hyper, x, t), rtol=0, atol=1e-5
        )


@pytest.mark.slow
def test_a_labelled_model_with_learned_variance_is_exported_with_labels_and_all_channels(tmp_path):
    hyper, facts = NETWORKS["ADM"]
    hyper = dataclasses.replace(hyper, channel_mult=(1, 2), num_res_blocks=1, attention_ds=(2,))
    facts = {key: value for key, value in (KNOWN | facts).items() if key != "variance"} | {"null_class": 4}
    path = save(tmp_path, hyper, facts)
    source = open_source(path)
    path.with_suffix(".toml").rename(tmp_path / "facts.toml")
    command = ["export", path, "--config", tmp_path / "facts.toml", "-o", tmp_path / "unet.onnx"]
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    session = open_session(tmp_path / "unet.onnx")
    card = ModelCard.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert card.provenance.weights_sha256 == source.weights_sha256
    assert (card.classes, card.null_class, card.variance, card.spacing) == (5, 4, "learned_range", "linspace")
    assert set(card.names) == {"x", "t", "y", "out"}
    inputs = example(hyper)
    found = session.run(None, {name: value.numpy() for name, value in zip("xty", inputs, strict=True)})[0]
    expected = forward(random_state(hyper), hyper, *inputs).numpy()
    assert found.shape == (3, 6, 16, 16)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def changed(name, value):
    state = random_state(Hyper())
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


COMPLETE = KNOWN | {"heads": 2, "attention_order": "legacy"}


@pytest.mark.parametrize("key", ["image_size", "betas", "prediction", "variance", "heads", "attention_order"])
def test_facts_that_weights_do_not_show_are_asked_for_by_key(tmp_path, key):
    facts = {name: value for name, value in COMPLETE.items() if name != key}
    with pytest.raises(CheckpointError, match=f"'{key}' is missing: add it to .*model.toml"):
        open_source(save(tmp_path, Hyper(), facts))
    (tmp_path / "model.toml").unlink()
    with pytest.raises(CheckpointError, match="--config FILE.toml"):
        open_source(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "64 channels cannot be split into heads=5"),
        ({"head_channels": 16}, "not both"),
        ({"betas": "linear:1000"}, "linear:STEPS:START:END"),
        ({"betas": "cosine:4000"}, "rescale_timesteps"),
        ({"classes": 3}, "unconditional"),
        ({"attention_order": "old"}, "legacy, new"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"image_size": "big"}, "image_size"),
        ({"clip": [1, -1]}, "clip"),
        ({"betas": "no.json"}, "no.json"),
    ],
)
def test_a_wrong_toml_is_a_one_line_error_that_names_the_key(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(save(tmp_path, Hyper(), COMPLETE | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("out.2.bias", None, "lack 'out.2.bias'"),
        ("middle_block.1.qkv.weight", None, "lack 'middle_block.1.qkv.weight'"),
        ("middle_block.3.weight", torch.ones(1), "contain 'middle_block.3.weight'"),
        ("time_embed.2.weight", torch.ones(4, 4), "'time_embed.2.weight' has shape"),
        ("out.2.weight", torch.ones(4, 32, 3, 3), "super-resolution"),
        ("output_blocks.1.2.conv.weight", None, "the weights lack"),
        ("output_blocks.4.0.in_layers.2.weight", torch.ones(1), "do not form a UNet with equal levels"),
        ("out.2.weight", torch.ones(3), "out.2.weight"),
        ("input_blocks.9.0.op.weight", torch.ones(1), "input_blocks.4"),
        ("head.weight", torch.ones(2, 2), "contain 'head.weight'"),
    ],
)
def test_weights_of_another_layout_are_a_one_line_error_that_names_them(tmp_path, name, value, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(save(tmp_path, Hyper(), COMPLETE, changed(name, value)))
    assert "\n" not in str(caught.value)


def adm(model_channels, mults, layers, attention, **change):
    """The `GuidedConfig` of a network of Dhariwal and Nichol 2021, from their flags."""
    widths = tuple(int(mult * model_channels) for mult in mults)
    flags = {
        "in_channels": 3,
        "out_channels": 6,
        "model_channels": model_channels,
        "first_width": widths[0],
        "widths": widths,
        "layers": layers,
        "attention": tuple(level in attention for level in range(len(mults))),
        "scale_shift": True,
        "resblock_updown": True,
        "classes": 1000,
        "heads": None,
        "head_channels": 64,
        "attention_order": "legacy",
    }
    return GuidedConfig(**(flags | change))


PUBLISHED = {
    "64": (adm(192, (1, 2, 3, 4), 3, (1, 2, 3), attention_order="new"), 296),
    "128": (adm(256, (1, 1, 2, 3, 4), 2, (2, 3, 4), heads=4, head_channels=None), 422),
    "256": (adm(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5)), 554),
    "512": (adm(256, (0.5, 1, 1, 2, 2, 4, 4), 2, (4, 5, 6)), 559),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_have_their_published_sizes_and_are_read_back_from_their_weights(tmp_path, name):
    """Dhariwal and Nichol 2021, table of hyperparameters: "model size", in millions."""
    config, millions = PUBLISHED[name]
    with torch.device("meta"):
        weights = GuidedUNet(config).state_dict()
    assert round(sum(tensor.numel() for tensor in weights.values()) / 1e6) == millions
    facts = Facts(heads=config.heads, head_channels=config.head_channels, attention_order=config.attention_order)
    assert infer(tmp_path, weights, facts, 1000) == config
