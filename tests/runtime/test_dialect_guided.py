"""Dialect `guided` against guided-diffusion's respacing, which this test reimplements."""

import numpy as np
from diffusers_chain import (
    BETAS,
)

from ddpm_rt import Schedule
from ddpm_rt.samplers import SAMPLERS
from ddpm_rt.samplers.dialects import DIALECTS


def space_timesteps(count):
    """guided-diffusion's loop for one section of 1000 timesteps: add a fractional stride and round each sum."""
    stride, at, taken = 1 if count <= 1 else 999 / (count - 1), 0.0, []
    for _ in range(count):
        taken.append(round(at))
        at += stride
    return taken[::-1]


def test_the_guided_dialect_respaces_like_guided_diffusion_and_differs_for_278_counts():
    guided, ho = DIALECTS["guided"], DIALECTS["ho2020"]
    different, thousand = 0, Schedule(BETAS["linear"])
    for count in range(1, 1001):
        chosen = guided.timesteps(thousand, count, "linspace", "ddpm").tolist()
        assert chosen == space_timesteps(count)
        different += count > 1 and chosen != ho.timesteps(thousand, count, "linspace", "ddpm").tolist()
    assert different == 278


def test_dialects_agree_without_clipping_rounding_or_striding():
    """On the full chain all three dialects are one sampler, up to diffusers' float32 coefficients."""
    betas = BETAS["linear"]
    tables = []
    for name in ("ho2020", "guided", "diffusers"):
        dialect = DIALECTS[name]
        t = dialect.timesteps(Schedule(betas), 1000, "leading", "ddpm")
        tables.append(SAMPLERS["ddpm"].table(dialect.schedule(betas, "ddpm"), t, last_noise=dialect.last_noise))
    for ho, guided, theirs in zip(*tables, strict=True):
        np.testing.assert_array_equal(ho, guided)
        np.testing.assert_allclose(theirs, ho, rtol=1e-3, atol=1e-12)  # 6e-8 of alpha_bar near 1 over a beta of 1e-4
