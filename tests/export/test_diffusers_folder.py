"""Folders of diffusers and its training scripts: variants, shards, averages, links; and folders that are refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ddpm_export.sources import open_source
from ddpm_export.sources.checkpoint_card import card_of
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint, weights_sha256
from ddpm_ref.config import UNetConfig
from ddpm_ref.errors import CheckpointError
from ddpm_ref.unet import UNet

CONFIG = UNetConfig(
    sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1,
    down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, attention_head_dim=8, norm_num_groups=8,
    norm_eps=1e-5, downsample_padding=1, flip_sin_to_cos=True, freq_shift=0,
)  # fmt: skip
NAME = "diffusion_pytorch_model"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"


def unet(seed=0):
    torch.manual_seed(seed)
    return UNet(CONFIG).eval()


@pytest.fixture
def pipeline(tmp_path):
    """A pipeline with its weights in one file."""
    save_checkpoint(
        tmp_path / "p", Checkpoint(unet(), schedules.linear(40, 1e-3, 0.3), "eps", "fixed_small", (-1.0, 1.0))
    )
    return tmp_path / "p"


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_shards(folder, weights, index=f"{NAME}.safetensors.index.json", places=None):
    names, places = sorted(weights), places or {}
    for part in range(3):
        kept = {name: weights[name] for name in names[part::3]}
        file = f"{NAME}-0000{part + 1}-of-00003.safetensors"
        save_file(kept, folder / file)
        places |= {name: places.get(name, file) for name in kept}
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_the_only_variant_is_read_and_one_of_several_must_be_named(pipeline):
    folder = pipeline / "unet"
    (folder / f"{NAME}.safetensors").rename(folder / f"{NAME}.ema.safetensors")
    assert open_source(pipeline).weights_sha256 == weights_sha256(unet().state_dict())
    save_file(unet(1).state_dict(), folder / f"{NAME}.fp16.safetensors")
    with pytest.raises(CheckpointError, match="ema, fp16"):
        open_source(pipeline)
    assert open_source(pipeline, weights="fp16").weights_sha256 == weights_sha256(unet(1).state_dict())


def test_full_weights_are_preferred_to_a_variant_unless_it_is_named(pipeline):
    save_file(unet(1).state_dict(), pipeline / "unet" / f"{NAME}.non_ema.safetensors")
    assert open_source(pipeline).weights_sha256 == weights_sha256(unet().state_dict())
    assert open_source(pipeline, weights="non_ema").weights_sha256 == weights_sha256(unet(1).state_dict())


@pytest.mark.parametrize(
    "index", ["safetensors.index.json", "fp16.safetensors.index.json", "safetensors.index.fp16.json"]
)
def test_shards_are_read_through_their_index(pipeline, index):
    (pipeline / "unet" / f"{NAME}.safetensors").unlink()
    write_shards(pipeline / "unet", unet().state_dict(), f"{NAME}.{index}")
    assert open_source(pipeline).weights_sha256 == weights_sha256(unet().state_dict())


@pytest.mark.parametrize("place", ["../elsewhere.safetensors", "/etc/passwd", "..\\elsewhere", "..", 5])
def test_an_index_cannot_name_files_outside_its_folder(pipeline, place):
    (pipeline / "unet" / f"{NAME}.safetensors").unlink()
    write_shards(pipeline / "unet", unet().state_dict(), places={"conv_in.bias": place})
    with pytest.raises(CheckpointError, match="outside its folder"):
        open_source(pipeline)


def test_a_shard_that_is_missing_or_of_another_model_is_named(pipeline):
    folder = pipeline / "unet"
    (folder / f"{NAME}.safetensors").unlink()
    write_shards(folder, unet().state_dict())
    second = folder / f"{NAME}-00002-of-00003.safetensors"
    save_file({"other": torch.ones(1)}, second)
    with pytest.raises(CheckpointError, match="00002-of-00003.*do not agree"):
        open_source(pipeline)
    second.unlink()
    with pytest.raises(CheckpointError, match="00002-of-00003.*is missing"):
        open_source(pipeline)


def test_a_lone_average_is_read_and_must_be_named_beside_the_network(pipeline):
    shutil.copytree(pipeline / "unet", pipeline / "unet_ema")
    save_file(unet(1).state_dict(), pipeline / "unet_ema" / f"{NAME}.safetensors")
    change_json(pipeline / "unet_ema" / "config.json", decay=0.9999, optimization_step=500, inv_gamma=1.0, power=0.75)
    with pytest.raises(CheckpointError, match="unet, unet_ema"):
        open_source(pipeline)
    assert open_source(pipeline, weights="unet").weights_sha256 == weights_sha256(unet().state_dict())
    shutil.rmtree(pipeline / "unet")
    assert open_source(pipeline).weights_sha256 == weights_sha256(unet(1).state_dict())


def test_the_weights_of_a_folder_may_have_a_prefix_too(pipeline):
    file = pipeline / "unet" / f"{NAME}.safetensors"
    save_file({f"module.{name}": weight for name, weight in unet().state_dict().items()}, file)
    assert open_source(pipeline).weights_sha256 == weights_sha256(unet().state_dict())


def test_a_hub_cache_of_links_is_read_from_its_snapshot_and_from_its_root(pipeline, tmp_path):
    root = tmp_path / "models--someone--digits"
    snapshot, blobs = root / "snapshots" / "abc", root / "blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(path for path in sorted(pipeline.rglob("*")) if path.is_file()):
        link = snapshot / file.relative_to(pipeline)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(shutil.copy(file, blobs / str(number)))
    for folder in (snapshot, root):
        assert open_source(folder).weights_sha256 == weights_sha256(unet().state_dict())


@pytest.mark.parametrize("name", [f"unet/{NAME}.safetensors", "unet/config.json", "scheduler/scheduler_config.json"])
def test_a_git_lfs_pointer_is_named_as_such_in_every_file(pipeline, name):
    (pipeline / name).write_text(LFS)
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        open_source(pipeline)


def spoiled(pipeline, name):
    weights = unet().state_dict()
    weights["conv_out.bias"][0] = float("nan")
    save_file(weights, pipeline / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: change_json(p / "unet/config.json", _class_name="UNet2DConditionModel"), "ConditionModel.*text"),
        (lambda p: change_json(p / "unet/config.json", _class_name="VQModel"), "VQModel; only a UNet2DModel"),
        (lambda p: (p / "vqvae").mkdir(), r"vqvae/config\.json is missing"),
        (lambda p: change_json(p / "model_index.json", vae=["diffusers", "VQModel"]), r"vae/config\.json is missing"),
        (lambda p: change_json(p / "model_index.json", text_encoder=["t", "CLIP"]), "text_encoder.*was trained with"),
        (lambda p: change_json(p / "unet/config.json", sample_size=9), "9 x 9 does not allow.*multiples of 2"),
        (lambda p: change_json(p / "unet/config.json", sample_size=[8, 5]), "8 x 5 does not allow"),
        (lambda p: spoiled(p, f"unet/{NAME}.safetensors"), "'conv_out.bias' is not finite .NaN"),
        (lambda p: change_json(p / "unet/config.json", layers_per_block=10**9), "layers_per_block must be"),
        (lambda p: change_json(p / "unet/config.json", block_out_channels=[1 << 14] * 2), "more than the limit"),
        (lambda p: change_json(p / "unet/config.json", time_embedding_dim=-1), "time_embedding_dim must be"),
        (lambda p: change_json(p / "scheduler/scheduler_config.json", trained_betas=[10**400]), "more than 100 digits"),
        (lambda p: change_json(p / "scheduler/scheduler_config.json", clip_sample_range=10**400), "100 digits"),
        (lambda p: (p / "unet/config.json").write_text("[" * 100_000), "cannot be read"),
        (lambda p: (p / "unet/config.json").write_text('{"a": "\\ud800"}'), "lone surrogate"),
    ],
)  # fmt: skip
def test_an_unreadable_folder_is_a_one_line_error_with_the_reason(pipeline, change, message):
    change(pipeline)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_source(pipeline)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(pipeline), "")) < 300


def test_the_error_for_a_hub_name_has_the_command_that_downloads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="hf download google/ddpm-cat-256 --local-dir ddpm-cat-256"):
        open_source("google/ddpm-cat-256")


def test_the_error_for_a_folder_of_checkpoints_names_them(pipeline, tmp_path):
    (tmp_path / "run").mkdir()
    pipeline.rename(tmp_path / "run" / "checkpoint-500")
    with pytest.raises(CheckpointError, match="name one of the folders in it: checkpoint-500"):
        open_source(tmp_path / "run")


def with_toml(pipeline, text, **scheduler):
    change_json(pipeline / "scheduler" / "scheduler_config.json", trained_betas=None, **scheduler)
    (pipeline.parent / "f.toml").write_text(text)
    return open_source(pipeline, pipeline.parent / "f.toml")


@pytest.mark.parametrize(
    ("text", "scheduler", "field", "value"),
    [
        ("clip = [-3, 3]", {"thresholding": True}, "clip", (-3.0, 3.0)),
        ('clip = "none"', {"clip_sample_range": "wide"}, "clip", None),
        ('spacing = "leading"', {"steps_offset": 1}, "spacing", "leading"),
        ('spacing = "trailing"', {"use_karras_sigmas": True}, "spacing", "trailing"),
        ('spacing = "trailing"', {"_class_name": "DDIMScheduler", "set_alpha_to_one": False}, "spacing", "trailing"),
        ('prediction = "v"', {"prediction_type": "flow"}, "prediction", "v"),
        ('variance = "fixed_large"', {"variance_type": ["odd"]}, "variance", "fixed_large"),
    ],
)
def test_a_key_of_the_toml_replaces_the_scheduler_s_key_unread(pipeline, text, scheduler, field, value):
    assert getattr(with_toml(pipeline, text, **scheduler), field) == value


def test_a_complete_toml_replaces_any_kind_of_scheduler(pipeline):
    text = 'betas = [0.1, 0.2]\nprediction = "v"\nvariance = "fixed_small"\nclip = "none"\nspacing = "leading"\n'
    source = with_toml(pipeline, text, _class_name="FlowMatchEulerDiscreteScheduler")
    assert (source.betas.tolist(), source.prediction) == ([0.1, 0.2], "v")
    with pytest.raises(CheckpointError, match="FlowMatchEulerDiscreteScheduler"):
        with_toml(pipeline, text.replace('spacing = "leading"\n', ""), _class_name="FlowMatchEulerDiscreteScheduler")


def test_the_size_of_the_toml_replaces_one_that_cannot_be_halved(pipeline):
    change_json(pipeline / "unet" / "config.json", sample_size=9)
    assert with_toml(pipeline, "image_size = 16").image_shape == (1, 16, 16)


def test_rescaled_betas_end_without_signal_and_keep_their_start(pipeline):
    source = with_toml(pipeline, 'prediction = "v"', rescale_betas_zero_snr=True)
    given = schedules.linear(40, 1e-3, 0.3)
    root, before = (abs(1 - betas).cumprod() ** 0.5 for betas in (source.betas, given))
    assert source.betas[-1] == 1.0
    assert root[0] == pytest.approx(before[0], abs=1e-12)
    # Lin et al. 2023: the part above the last value is scaled by one factor.
    assert root[20] == pytest.approx((before[20] - before[-1]) * before[0] / (before[0] - before[-1]), abs=1e-12)
    card_of(source, Path("p"))


def test_a_network_that_predicts_eps_is_refused_without_signal(pipeline):
    source = with_toml(pipeline, 'prediction = "eps"', rescale_betas_zero_snr=True)
    with pytest.raises(ValueError, match="a network that predicts eps cannot start there"):
        card_of(source, Path("p"))
