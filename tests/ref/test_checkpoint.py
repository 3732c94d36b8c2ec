import json

import numpy as np
import pytest
import torch
from tiny_unet import DIGITS

from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddpm_ref.errors import CheckpointError
from ddpm_ref.scheduler_config import Scheduler, read_scheduler, write_scheduler
from ddpm_ref.unet import UNet

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of random weights, on disk and in memory."""
    torch.manual_seed(0)
    checkpoint = Checkpoint(UNet(DIGITS).eval(), schedules.cosine(1000), "v", "fixed_small", (-1.0, 1.0))
    save_checkpoint(tmp_path / "model", checkpoint)
    return tmp_path / "model", checkpoint


def test_a_loaded_checkpoint_equals_the_saved_one(saved):
    path, before = saved
    after = load_checkpoint(path)
    assert after.weights_sha256 == before.weights_sha256
    np.testing.assert_array_equal(after.betas, before.betas)
    assert (after.prediction, after.variance, after.clip) == ("v", "fixed_small", (-1.0, 1.0))
    assert after.unet.config == before.unet.config
    assert not after.unet.training


def test_diffusers_opens_the_checkpoint_and_gives_the_same_output(saved):
    from diffusers import DDPMPipeline

    path, before = saved
    pipeline = DDPMPipeline.from_pretrained(path)
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([5, 900])
    with torch.no_grad():
        torch.testing.assert_close(pipeline.unet(x, t).sample, before.unet(x, t), rtol=0, atol=1e-5)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    np.testing.assert_allclose(pipeline.scheduler.betas.numpy(), before.betas, rtol=1e-7)  # one float32 rounding


def test_checkpoints_of_diffusers_are_loaded_in_both_weight_formats(tmp_path):
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    config = {key: value for key, value in DIGITS.to_dict().items() if not key.startswith("_")}
    pipeline = DDPMPipeline(unet=UNet2DModel(**config).eval(), scheduler=DDPMScheduler(variance_type="fixed_large"))
    pipeline.save_pretrained(tmp_path / "safe")
    pipeline.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    safe, pickled = load_checkpoint(tmp_path / "safe"), load_checkpoint(tmp_path / "pickled")
    assert safe.weights_sha256 == pickled.weights_sha256
    assert (safe.prediction, safe.variance) == ("eps", "fixed_large")
    np.testing.assert_array_equal(safe.betas, schedules.linear(1000))
    x, t = torch.randn(1, 1, 28, 28), torch.tensor([500])
    with torch.no_grad():
        torch.testing.assert_close(safe.unet(x, t), pipeline.unet(x, t).sample, rtol=0, atol=1e-5)


def test_the_attention_names_of_old_files_are_understood(saved):
    from safetensors.torch import load_file, save_file

    path, before = saved
    old_names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    weights = {}
    for name, tensor in load_file(path / WEIGHTS).items():
        for new, old in old_names.items():
            name = name.replace(new, old)
        weights[name] = tensor
    assert any("proj_attn" in name for name in weights)
    save_file(weights, path / WEIGHTS)
    assert load_checkpoint(path).weights_sha256 == before.weights_sha256


def test_a_flat_directory_is_read(saved, tmp_path):
    path, before = saved
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in (path / "unet").iterdir():
        file.rename(flat / file.name)
    (path / "scheduler" / "scheduler_config.json").rename(flat / "scheduler_config.json")
    assert load_checkpoint(flat).weights_sha256 == before.weights_sha256


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("unet/config.json", lambda raw: raw.pop("attention_head_dim"), "attention_head_dim"),
        ("unet/config.json", lambda raw: raw.update(colour=1), "colour"),
        ("unet/config.json", lambda raw: raw.update(block_out_channels=[16, 32, 64]), "shape"),
        ("unet/config.json", lambda raw: raw.update(layers_per_block=2), "lack"),
        ("unet/config.json", lambda raw: raw.update(add_attention=False), "which the config's network lacks"),
        ("scheduler/scheduler_config.json", lambda raw: raw.update(prediction_type="flow"), "flow"),
        ("scheduler/scheduler_config.json", lambda raw: raw.update(variance_type="learned_range"), "learned_range"),
        ("scheduler/scheduler_config.json", lambda raw: raw.update(trained_betas=[2.0]), "inside"),
        ("scheduler/scheduler_config.json", lambda raw: raw.update(thresholding=True), "thresholding"),
        (
            "scheduler/scheduler_config.json",
            lambda raw: (raw.pop("trained_betas"), raw.pop("beta_start")),
            "beta_start",
        ),
    ],
)
def test_a_config_that_does_not_fit_is_named(saved, file, change, message):
    path, _ = saved
    raw = json.loads((path / file).read_text())
    change(raw)
    (path / file).write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("file", ["unet/config.json", "scheduler/scheduler_config.json", WEIGHTS])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_a_damaged_file_is_named(saved, file, damage):
    path, _ = saved
    content = (path / file).read_bytes()
    (path / file).unlink()
    if damage != "missing":
        (path / file).write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(CheckpointError, match=file.split("/")[-1]):
        load_checkpoint(path)


def test_a_pickle_that_runs_code_is_refused(saved):
    path, _ = saved
    (path / WEIGHTS).unlink()

    class Attack:
        def __reduce__(self):
            return print, ("ran code",)

    torch.save({"conv_in.weight": Attack()}, path / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"\.bin"):
        load_checkpoint(path)


def test_the_scheduler_file_keeps_every_beta_to_the_last_bit():
    betas = schedules.sigmoid_alpha_bar(333)
    raw = json.loads(json.dumps(write_scheduler(Scheduler(betas, "x0", "fixed_large", None, "linspace"))))
    again, *others = read_scheduler(raw, "test")
    np.testing.assert_array_equal(again, betas)
    assert others == ["x0", "fixed_large", None, "linspace"]
