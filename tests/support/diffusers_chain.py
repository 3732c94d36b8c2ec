"""Chains of diffusers' own schedulers on a toy network with given noise, to test dialects."""

import importlib
import itertools

import numpy as np
import torch

from ddpm_ref import betas as schedules
from ddpm_rt import Beginning, Schedule, noise, trajectory
from ddpm_rt.samplers import SAMPLERS
from ddpm_rt.samplers.dialects import DIALECTS

BETAS = {
    "linear": schedules.linear(1000),
    "scaled_linear": schedules.quadratic(1000),
    "squaredcos_cap_v2": schedules.cosine(1000),
    "sigmoid": schedules.sigmoid(1000),
}
PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SPACINGS = ["leading", "trailing", "linspace"]
FEW, MANY = [1, 2, 7, 20, 48, 50], [600, 1000]
CLIPS = [(-1.0, 1.0), None]
covered = {"settings": 0, "worst": 0.0}
SHAPE = (1, 2, 2)  # C, H, W
SAMPLES = 2


def toy(alpha_bar, prediction, spread=False):
    """A network `(x, t) -> out`, numpy float32, for smooth images that exceed [-1, 1].

    Its x0 is bounded, and changes less than x does. Therefore no chain diverges, and rounding errors stay small.
    """
    levels = [np.sqrt(level).astype(np.float32) for level in (alpha_bar, 1 - alpha_bar)]

    def network(x, t):
        a, b = (level[t].reshape(-1, 1, 1, 1) for level in levels)
        phase = np.asarray(t, np.float32).reshape(-1, 1, 1, 1) / np.float32(200)
        x0 = np.float32(2) * np.tanh(np.float32(0.35) * a * x + np.float32(0.2) * np.sin(np.roll(x, 1, -1) + phase))
        eps = (x - a * x0) / b
        out = {"eps": eps, "x0": x0, "v": a * eps - b * x0}[prediction]
        return np.concatenate([out, np.cos(x + phase)], axis=1) if spread else out

    return network


def tape(steps, seed=0):
    """Standard normals float32 [1 + steps, B, C, H, W]: the first is x_T, the others belong to the rows."""
    return np.random.default_rng(seed).standard_normal((1 + steps, SAMPLES, *SHAPE)).astype(np.float32)


def chain(scheduler, network, z, **step_options):
    """x after each step of a scheduler whose timesteps are set, [steps, B, C, H, W], and the largest state so far.

    x is the input of the network. It equals the state, except in the Euler schedulers, whose state is
    x / sqrt(alpha_bar).
    """
    module = importlib.import_module(type(scheduler).__module__)
    state = torch.from_numpy(z[0].copy()) * scheduler.init_noise_sigma
    found, largest, kept = [], [], module.randn_tensor
    try:
        for row, t in enumerate(scheduler.timesteps):
            module.randn_tensor = lambda *args, row=row, **kwargs: torch.from_numpy(z[1 + row].copy())
            x = scheduler.scale_model_input(state, t).numpy()
            found.append(x.copy())
            largest.append(float(state.abs().max()))
            out = torch.from_numpy(network(x, np.full(len(x), int(t))))
            state = scheduler.step(out, t, state, **step_options).prev_sample
    finally:
        module.randn_tensor = kept
    found.append(state.numpy())  # after the last step alpha_bar is 1, so x equals the state
    largest.append(float(state.abs().max()))
    return np.stack(found[1:]), np.maximum.accumulate(largest)[1:]


def started(scheduler, z):
    """The initial x of diffusers' Euler schedulers: sqrt(1 - alpha_bar) z, or z itself with `leading`."""
    sigma = scheduler.sigmas[0]
    return z[0] * np.float32(scheduler.init_noise_sigma / (sigma**2 + 1) ** 0.5)


def ours(betas, sampler, steps, spacing, prediction, z, *, clip=None, start=None, variance="fixed_small", **options):
    """x after each step in dialect diffusers, and the largest term that cancels in it, for `compare`.

    `options` replace the dialect's options of the sampler.
    """
    dialect = DIALECTS["diffusers"]
    visited = dialect.timesteps(Schedule(betas), steps, spacing, sampler) if isinstance(steps, int) else np.array(steps)
    given = {
        "variance": variance,
        "eta": 0.0,
        "last_noise": dialect.last_noise,
        "raw_eps": dialect.raw_eps,
        "leads_to": dialect.leads_to(visited, len(betas), spacing),
        **options,
    }
    make, takes, _ = SAMPLERS[sampler]
    given = {name: given[name] for name in takes}
    table = make(dialect.schedule(betas, sampler), visited, prediction=prediction, **given)
    network = toy(np.cumprod(1 - betas), prediction, variance == "learned_range")
    steps = trajectory(
        network,
        table,
        SHAPE,
        seed=0,
        samples=range(SAMPLES),
        clip=dialect.clip(clip, sampler),
        noise=lambda row: z[0 if row == noise.INITIAL_STEP else 1 + row],
        begin=Beginning(start),
    )
    x = np.stack([step.x.copy() for step in steps])
    seen = np.abs(np.stack([z[0] if start is None else start, *x[:-1]])).reshape(len(x), -1).max(1)
    return x, seen * np.abs(table.mean_from_x0 * table.x0_from_x)


def compare(ours, theirs, tolerance=1e-5):
    """Assert equality to `tolerance` times 1 or the largest |x| so far, whichever is larger: rounding is relative.

    To that comes what four roundings leave of the largest term that cancels: x / sqrt(alpha_bar) in x0 from eps, whose
    weight is small but when few steps are taken (linear: 157 x), and in diffusers' Euler the state itself.
    """
    (x, cancels), (expected, state) = ours, theirs
    assert x.shape == expected.shape
    size = np.maximum.accumulate(np.abs(expected).reshape(len(x), -1).max(1))
    allowed = tolerance * np.maximum(1.0, size) + 2.0**-22 * np.maximum(np.maximum.accumulate(cancels), state)
    errors = np.abs(x - expected).reshape(len(x), -1).max(1) / allowed
    covered["settings"] += 1
    covered["worst"] = max(covered["worst"], float(errors.max()))
    assert errors.max() <= 1.0, (int(errors.argmax()), float(errors.max()))


def settings(schedule, steps):
    """All combinations for few steps, half of them for 48 steps, the other half for 50, one in nine for many."""
    chosen = list(itertools.product(PREDICTIONS, SPACINGS, CLIPS))
    if steps in (48, 50):
        return [one for index, one in enumerate(chosen) if (index // 2 + index + steps // 50) % 2]
    return chosen if steps in FEW else chosen[(MANY.index(steps) + 2 * list(BETAS).index(schedule)) :: 9]
