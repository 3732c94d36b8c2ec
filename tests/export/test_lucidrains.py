"""Files of denoising_diffusion_pytorch: `model-N.pt` of its Trainer, of images, sequences and classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from golden_lucidrains import given, values, weights

import ddpm_rt
from ddpm_export.sources import open_source
from ddpm_ref.errors import CheckpointError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "lucidrains.json").read_text())
KINDS = GOLDEN["kinds"]


def milestone(path, name, change=lambda state: None, facts=None):
    """What `Trainer.save` writes: the last step, whose weights are all 0.5, and the average."""
    kind = KINDS[name]
    state = weights(kind["weights"])
    change(state)
    buffers = {key: torch.tensor(kind[key]) for key in ("betas", "alphas_cumprod")} | {"loss_weight": torch.ones(20)}
    average = {f"model.{key}": value for key, value in state.items()} | buffers
    last = {key: torch.full_like(value, 0.5) if key.startswith("model.") else value for key, value in average.items()}
    ema = {f"ema_model.{key}": value for key, value in average.items()}
    ema |= {f"online_model.{key}": value for key, value in last.items()}
    ema |= {"initted": torch.tensor(True), "step": torch.tensor([7])}
    torch.save({"step": 7, "model": last, "opt": {}, "ema": ema, "scaler": None, "version": GOLDEN["version"]}, path)
    known = kind["facts"] if facts is None else facts
    path.with_suffix(".toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in known.items()))
    return path


@pytest.mark.parametrize("name", KINDS)
def test_the_network_of_a_milestone_gives_what_the_projects_own_gives(tmp_path, name):
    kind = KINDS[name]
    source = open_source(milestone(tmp_path / "model-4.pt", name), weights="ema_model")
    with torch.no_grad():
        out = source.module(values(1, [3, *kind["shape"]]), torch.tensor(GOLDEN["times"]), *given(name, kind["shape"]))
    out = out.flatten()
    found, wanted = out[:: len(out) // len(kind["output"])][: len(kind["output"])], torch.tensor(kind["output"])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)  # float32 sums in another order, outputs of size one
    assert source.image_shape == tuple(kind["shape"])
    np.testing.assert_allclose(source.betas, kind["betas"], rtol=1e-6, atol=0)  # both tables are float32
    assert source.variance == ("learned_range" if name == "learned variance" else "fixed_small")
    assert (source.classes, source.null_class) == ((4, 3) if name == "classes" else (None, None))
    conditioned = name in ("self-conditioning", "sequences")
    assert [facts.role for facts in source.inputs.values()] == ["prev_x0"] * conditioned
    assert "the betas are those of the file" in source.notes
    assert not any("betas," in note for note in source.notes)


@pytest.mark.slow
def test_the_command_exports_a_milestone_that_sample_draws_from(tmp_path):
    path = milestone(tmp_path / "model-4.pt", "sequences")
    result = run("export", path, "-o", tmp_path / "unet.onnx", "--weights", "ema_model")
    assert result.exit_code == 0, result.output
    assert "the weights are those of 'ema.ema_model.model'" in result.stderr
    with ddpm_rt.open_denoiser(tmp_path / "unet.onnx", provider="cpu") as engine:
        assert engine.card.prev_x0 == "x_self_cond"
        source = open_source(path, weights="ema_model")
        x, before, t = (values(number, [2, 2, 16]) for number in (1, 2, 3))
        with torch.no_grad():
            wanted = source.module(x, torch.tensor([3, 19]), before)
        found = engine(x.numpy(), np.array([3, 19]), None, {"x_self_cond": before.numpy()})
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    command = ("sample", tmp_path / "unet.onnx", "--steps", 4, "--count", 2, "--out", tmp_path / "x.npy")
    assert run(*command).exit_code == 0
    assert np.load(tmp_path / "x.npy").shape == (2, 2, 16)


def test_the_average_is_not_guessed(tmp_path):
    path = milestone(tmp_path / "model-4.pt", "self-conditioning")
    with pytest.raises(CheckpointError, match="several networks: model, .*ema_model.*choose one with --weights"):
        open_source(path)


def test_betas_of_the_toml_file_replace_those_of_the_file(tmp_path):
    facts = KINDS["images"]["facts"] | {"betas": "linear:10:0.001:0.02"}
    source = open_source(milestone(tmp_path / "model-4.pt", "images", facts=facts), weights="ema_model")
    assert len(source.betas) == 10
    assert any("differ from the betas in use" in note for note in source.notes)


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("images", "image_size", "accepts any size; 'image_size' is missing"),
        ("images", "prediction", "do not show the objective; 'prediction' is missing"),
        ("sequences", "length", "accepts any size; 'length' is missing"),
        ("sequences", "heads", "do not show attn_heads; 'heads' is missing"),
    ],
)
def test_a_fact_that_the_file_lacks_is_asked_for(tmp_path, name, key, message):
    facts = {known: value for known, value in KINDS[name]["facts"].items() if known != key}
    with pytest.raises(CheckpointError, match=f"{message}: add it to"):
        open_source(milestone(tmp_path / "model-4.pt", name, facts=facts), weights="ema_model")


def without_norms(state):
    for name in [name for name in state if ".norm.g" in name]:
        state[name.removesuffix("g") + "weight"] = state.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update({"time_mlp.0.weights": torch.ones(8)}), "random or learned frequencies"),
        (without_norms, "older network"),
        (lambda state: [state.pop(name) for name in [*state] if name.startswith("downs.")], "0 levels"),
        (lambda state: state.update({"init_conv.weight": torch.ones(12, 1, 7, 7, 7)}), "3 dimensions"),
        (lambda state: state.update({"final_conv.weight": torch.ones(5, 12, 1, 1)}), "1 input channels, 5 output"),
        (lambda state: state.pop("downs.1.2.to_qkv.weight"), "lack 'downs.1.2.to_qkv.weight'"),
        (lambda state: state.update({"mid_attn.mem_kv": torch.ones(2, 5, 4, 6)}), "cannot be split into 5 heads"),
        (lambda state: state.pop("mid_block2.block1.proj.bias"), "lack 'mid_block2.block1.proj.bias'"),
        (lambda state: state.update({"extra.weight": torch.ones(1)}), "contain 'extra.weight'"),
    ],
)
def test_another_network_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(milestone(tmp_path / "model-4.pt", "images", change), weights="ema_model")
    assert "\n" not in str(caught.value)


def test_an_embedding_of_no_class_of_another_width_is_refused(tmp_path):
    def widen(state):
        state["null_classes_emb"] = torch.ones(9)

    with pytest.raises(CheckpointError, match="contain 'null_classes_emb'"):
        open_source(milestone(tmp_path / "model-4.pt", "classes", widen), weights="ema_model")


def test_a_size_that_the_levels_do_not_divide_and_foreign_facts_are_refused(tmp_path):
    for more, message in (({"image_size": 10}, "multiples of 4"), ({"length": 8}, "'length' does not apply to images")):
        path = milestone(tmp_path / "model-4.pt", "images", facts=KINDS["images"]["facts"] | more)
        with pytest.raises(CheckpointError, match=message):
            open_source(path, weights="ema_model")
