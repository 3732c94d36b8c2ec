"""Values of a config or recipe that would need too much time or memory are refused before a network is built."""

import json

import pytest
import torch
from hostile import JSON, SPECIAL, is_line
from tiny_training import TINY_TOML

from ddpm_ref.checkpoint import load_tensors, read_json
from ddpm_ref.config import UNetConfig
from ddpm_ref.errors import CheckpointError, ConfigError, RecipeError
from ddpm_ref.recipe import load_preset, load_recipe
from ddpm_ref.scheduler_config import read_scheduler
from ddpm_ref.unet import UNet, skeleton
from ddpm_ref.weights_file import check_pickled, check_safetensors

RAW = load_preset("mnist").model.to_dict()


@pytest.mark.parametrize(("key", "value"), [
    ("layers_per_block", 10**9), ("layers_per_block", "1"), ("layers_per_block", True), ("layers_per_block", -1),
    ("block_out_channels", [10**8] * 3), ("block_out_channels", 8), ("block_out_channels", ["a"] * 3),
    ("block_out_channels", [32] * 100), ("in_channels", 2 * 10**9), ("time_embedding_dim", -1), ("norm_eps", "x"),
    ("norm_eps", float("nan")), ("norm_num_groups", [1]), ("norm_num_groups", 0), ("attention_head_dim", "x"),
    ("flip_sin_to_cos", [[[]]]), ("flip_sin_to_cos", 1), ("sample_size", [1, 2, 3]), ("sample_size", 10**9),
    ("freq_shift", 0.5), ("down_block_types", "DownBlock2D"), ("mid_block_scale_factor", 0), ("dropout", 2),
    ("time_embedding_type", "A" * 100_000), ("act_fn", ["silu"]), ("num_class_embeds", 10**12),
])  # fmt: skip
def test_the_error_for_a_wrong_value_names_the_key(key, value):
    with pytest.raises(ConfigError, match=key) as caught:
        UNetConfig.from_dict(RAW | {key: value})
    assert is_line(str(caught.value))


def test_a_network_of_too_many_weights_is_refused_before_it_takes_memory():
    levels = {"block_out_channels": [16_384] * 3, "layers_per_block": 8, "norm_num_groups": 32}
    with pytest.raises(ConfigError, match="weights, more than the limit"):
        skeleton(lambda: UNet(UNetConfig.from_dict(RAW | levels)))


def test_a_skeleton_has_the_names_and_shapes_of_the_network():
    from ddpm_ref.unet import UNet

    config = UNetConfig.from_dict(RAW)
    real = {name: weight.shape for name, weight in UNet(config).state_dict().items()}
    assert {name: weight.shape for name, weight in skeleton(lambda: UNet(config)).state_dict().items()} == real


@pytest.mark.parametrize(("line", "instead"), [
    ("batch_size = 4", "batch_size = 1000000000000"), ("batch_size = 4", "batch_size = [1]"),
    ('schedule = "linear"', "schedule = 3"), ('schedule = "linear"', 'schedule = "linear"\nsteps = ' + "[" * 100_000),
    ("[model]", "model = 1\n[other]"), ("norm_num_groups = 4", "norm_num_groups = [1]"),
])  # fmt: skip
def test_a_hostile_recipe_is_refused_in_one_line(tmp_path, line, instead):
    assert line in TINY_TOML
    (tmp_path / "r.toml").write_text(TINY_TOML.replace(line, instead, 1))
    with pytest.raises(RecipeError, match=r"r\.toml") as caught:
        load_recipe(tmp_path / "r.toml")
    assert is_line(str(caught.value))


@pytest.mark.parametrize("sections", ["model = 1\ndiffusion = 2\ntraining = 3\n", ""])
def test_sections_that_are_not_tables_are_refused(tmp_path, sections):
    (tmp_path / "r.toml").write_text(sections)
    with pytest.raises(RecipeError, match="section"):
        load_recipe(tmp_path / "r.toml")


@pytest.mark.parametrize("name", JSON)
def test_a_hostile_json_is_refused_in_one_line(tmp_path, name):
    content, _ = JSON[name]
    (tmp_path / "x.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=r"x\.json") as caught:
        read_json(tmp_path / "x.json")
    assert is_line(str(caught.value))


@pytest.mark.parametrize(("key", "value"), [
    ("num_train_timesteps", 10**9), ("num_train_timesteps", float("inf")), ("beta_start", float("inf")),
    ("beta_end", [1]), ("trained_betas", [10**400]), ("trained_betas", 3), ("clip_sample_range", 1e39),
    ("_class_name", "A" * 100_000), ("_class_name", []), ("steps_offset", "A" * 100_000),
])  # fmt: skip
def test_a_hostile_scheduler_is_refused_in_one_line(key, value):
    raw = {"_class_name": "DDPMScheduler", "num_train_timesteps": 40, "beta_schedule": "linear", "beta_start": 1e-3,
           "beta_end": 0.3}  # fmt: skip
    with pytest.raises(CheckpointError) as caught:
        read_scheduler(raw | {key: value}, "scheduler_config.json")
    assert is_line(str(caught.value))


@pytest.mark.parametrize(
    "content", [b"", b"hello, these are no weights\n", b"PK\3\4" + bytes(100), b"\x80\x02" + b"]" * 10**5]
)
def test_a_file_without_weights_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"m\.pt") as caught:
        load_tensors(tmp_path / "m.pt")
    assert is_line(str(caught.value))


@pytest.mark.parametrize("check", [check_pickled, check_safetensors])
@pytest.mark.parametrize("name", [name for name in SPECIAL if name != "sparse file"])
def test_a_weights_file_must_be_a_regular_file(tmp_path, check, name):
    SPECIAL[name](tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"m\.pt"):
        check(tmp_path / "m.pt")


def test_compressed_weights_are_refused(tmp_path):
    import zipfile

    torch.save({"a": torch.zeros(100_000)}, tmp_path / "m.pt")
    load_tensors(tmp_path / "m.pt")
    with (
        zipfile.ZipFile(tmp_path / "m.pt") as source,
        zipfile.ZipFile(tmp_path / "z.pt", "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for name in source.namelist():
            out.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="compressed"):
        load_tensors(tmp_path / "z.pt")


def test_a_valid_config_is_read(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(RAW))
    assert UNetConfig.from_dict(read_json(tmp_path / "x.json")).to_dict() == RAW
