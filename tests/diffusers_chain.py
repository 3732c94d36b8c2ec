"""Chains of diffusers' own schedulers on a toy network, with noise that is handed in: what dialects are compared with."""

import importlib

import numpy as np
import torch

SHAPE = (1, 2, 2)  # C, H, W
SAMPLES = 2


def network(x, t, spread=False):
    """A smooth function of x and t, which no sampler finds easy to tell from a trained network; numpy float32."""
    phase = np.asarray(t, np.float32).reshape(-1, 1, 1, 1) / np.float32(100)
    out = np.float32(0.8) * x + np.float32(0.3) * np.sin(np.roll(x, 1, axis=-1) + phase)
    return np.concatenate([out, np.cos(x + phase)], axis=1) if spread else out


def tape(steps, seed=0):
    """Standard normals float32 [1 + steps, B, C, H, W]: the first is x_T, then one a row."""
    return np.random.default_rng(seed).standard_normal((1 + steps, SAMPLES, *SHAPE)).astype(np.float32)


def chain(scheduler, noise, *, spread=False, **step_options):
    """x after each step of a scheduler whose timesteps are set, as float32 [steps, B, C, H, W].

    x is what the network is shown: the state itself, but for the Euler schedulers, whose state is x / sqrt(alpha_bar).
    """
    module = importlib.import_module(type(scheduler).__mro__[0].__module__)
    in_sigma_space = hasattr(scheduler, "is_scale_input_called")
    state = torch.from_numpy(noise[0].copy())
    if in_sigma_space:
        state = state * scheduler.init_noise_sigma
    found = []
    kept = getattr(module, "randn_tensor", None)
    try:
        for row, t in enumerate(scheduler.timesteps):
            module.randn_tensor = lambda *args, row=row, **kwargs: torch.from_numpy(noise[1 + row].copy())
            x = scheduler.scale_model_input(state, t).numpy()
            if row:
                found.append(x.copy())
            out = torch.from_numpy(network(x, np.full(len(x), float(t)), spread))
            state = scheduler.step(out, t, state, **step_options).prev_sample
    finally:
        if kept is not None:
            module.randn_tensor = kept
    found.append(state.numpy())  # after the last step x' and x are one: alpha_bar is 1
    return np.stack(found)
