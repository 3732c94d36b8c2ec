"""The adapters for other projects, on objects that have what the projects' own have."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_export.peers import lucidrains, monai
from ddpm_export.sources.betas_buffers import float64_betas
from ddpm_ref import betas as schedules


@pytest.mark.parametrize("betas", [schedules.linear(1000, 1e-4, 0.02), schedules.cosine(1000)])
def test_betas_of_float32_tables_give_alpha_bar_to_float32(betas):
    """1 - beta of the last cosine beta, 0.999, is known to 6e-5 only from its own table."""
    product = np.cumprod(1 - betas)
    found = np.array(float64_betas(torch.tensor(betas).float(), torch.tensor(product).float()))
    np.testing.assert_allclose(found, betas, rtol=1e-6)
    np.testing.assert_allclose(np.cumprod(1 - found), product, rtol=1e-5)


class Labelled(nn.Module):
    """A network with labels, as of denoising_diffusion_pytorch."""

    def __init__(self):
        super().__init__()
        self.classes_emb = nn.Embedding(3, 4)
        self.null_classes_emb = nn.Parameter(torch.randn(4))
        self.out_dim = 2

    def forward(self, x, time, classes, cond_drop_prob=0.5):
        emb = self.null_classes_emb.expand(len(x), 4) if cond_drop_prob == 1.0 else self.classes_emb(classes)
        return x * emb[:, :2, None, None] + time[:, None, None, None] * emb[:, 2:, None, None]


def diffusion_of(model, **facts):
    betas = torch.tensor(schedules.linear(20, 1e-3, 0.3))
    known = {
        "model": model, "channels": 2, "image_size": (4, 6), "objective": "pred_v", "betas": betas.float(),
        "alphas_cumprod": torch.cumprod(1 - betas, 0).float(),
    }  # fmt: skip
    return SimpleNamespace(**(known | facts))


def test_the_label_after_the_last_class_stands_for_none():
    torch.manual_seed(0)
    model = Labelled()
    module, card = lucidrains.adapt(diffusion_of(model))
    assert (card.classes, card.null_class, card.prediction, card.image_shape) == (4, 3, "v", (2, 4, 6))
    x, t, y = torch.randn(2, 2, 4, 6), torch.tensor([1, 2]), torch.tensor([0, 2])
    with torch.no_grad():
        torch.testing.assert_close(module(x, t, y), model(x, t, y, cond_drop_prob=0.0))
        torch.testing.assert_close(module(x, t, torch.full((2,), 3)), model(x, t, y, cond_drop_prob=1.0))
    assert model.classes_emb.num_embeddings == 3  # the caller's network is not changed


def test_self_conditioning_and_a_learned_variance_are_facts_of_the_card():
    model = nn.Conv1d(2, 2, 1)
    model.out_dim = 2
    diffusion = diffusion_of(model, self_condition=True, seq_length=16)
    card = lucidrains.adapt(diffusion).card
    assert card.image_shape == (2, 16)
    assert card.prev_x0 == "x_self_cond"
    model.out_dim = 4
    assert lucidrains.adapt(diffusion_of(model, objective="pred_noise")).card.variance == "learned_range"
    with pytest.raises(ValueError, match="objective must be pred_noise or pred_x0 or pred_v, not 'score'"):
        lucidrains.adapt(diffusion_of(model, objective="score"))


@pytest.mark.parametrize("ema", [False, True])
def test_a_milestone_gives_the_weights_of_the_last_step_or_the_average(tmp_path, ema):
    last, average, wanted = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    averaged = {f"ema_model.{name}": value for name, value in average.state_dict().items()}
    content = {"step": 7, "model": last.state_dict(), "ema": averaged | {"step": torch.tensor([7])}, "version": "2"}
    torch.save(content, tmp_path / "model-1.pt")
    lucidrains.load_milestone(tmp_path / "model-1.pt", wanted, ema=ema)
    torch.testing.assert_close(wanted.weight, (average if ema else last).weight)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"no model-N\.pt"):
        lucidrains.load_milestone(tmp_path / "other.pt", wanted)


class Context(nn.Module):
    num_class_embeds = None

    def forward(self, x, timesteps, context=None):
        return x + timesteps.reshape(-1, 1, 1, 1, 1) + context.mean((1, 2)).reshape(-1, 1, 1, 1, 1)


def test_a_volume_with_cross_attention_has_a_context():
    betas = torch.tensor(schedules.linear(20, 1e-3, 0.3))
    scheduler = SimpleNamespace(
        betas=betas.float(), alphas_cumprod=torch.cumprod(1 - betas, 0).float(), prediction_type="epsilon",
        clip_sample=True, clip_sample_values=[-1, 1], variance_type="fixed_small",
    )  # fmt: skip
    module, card = monai.adapt(Context(), scheduler, (3, 4, 5), channels=1, context=(2, 6))
    assert card.image_shape == (1, 3, 4, 5)
    assert card.inputs["context"].shape == (2, 6)
    x, context = torch.zeros(2, 1, 3, 4, 5), torch.ones(2, 2, 6)
    torch.testing.assert_close(module(x, torch.tensor([1, 2]), context)[1], torch.full((1, 3, 4, 5), 3.0))
