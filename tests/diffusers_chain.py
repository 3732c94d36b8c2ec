"""Chains of diffusers' own schedulers on a toy network, with noise that is handed in, to compare dialects with."""

import importlib

import numpy as np
import torch

SHAPE = (1, 2, 2)  # C, H, W
SAMPLES = 2


def toy(alpha_bar, prediction, spread=False):
    """A network `(x, t) -> out`, numpy float32, that expects smooth images reaching beyond [-1, 1].

    Its x0 is bounded and follows x by less than x moves, so that no chain grows and an error of rounding stays one.
    """
    signal, noise = np.sqrt(alpha_bar).astype(np.float32), np.sqrt(1 - alpha_bar).astype(np.float32)

    def network(x, t):
        a, b = (level[t].reshape(-1, 1, 1, 1) for level in (signal, noise))
        phase = np.asarray(t, np.float32).reshape(-1, 1, 1, 1) / np.float32(200)
        x0 = np.float32(2) * np.tanh(np.float32(0.35) * a * x + np.float32(0.2) * np.sin(np.roll(x, 1, -1) + phase))
        eps = (x - a * x0) / b
        out = {"eps": eps, "x0": x0, "v": a * eps - b * x0}[prediction]
        return np.concatenate([out, np.cos(x + phase)], axis=1) if spread else out

    return network


def tape(steps, seed=0):
    """Standard normals float32 [1 + steps, B, C, H, W]: the first is x_T, then one a row."""
    return np.random.default_rng(seed).standard_normal((1 + steps, SAMPLES, *SHAPE)).astype(np.float32)


def chain(scheduler, network, noise, **step_options):
    """x after each step of a scheduler whose timesteps are set, [steps, B, C, H, W], and the largest state so far.

    x is what the network is shown. It is the state itself, but for the Euler schedulers, whose state is
    x / sqrt(alpha_bar).
    """
    module = importlib.import_module(type(scheduler).__module__)
    state = torch.from_numpy(noise[0].copy()) * scheduler.init_noise_sigma
    found, largest, kept = [], [], module.randn_tensor
    try:
        for row, t in enumerate(scheduler.timesteps):
            module.randn_tensor = lambda *args, row=row, **kwargs: torch.from_numpy(noise[1 + row].copy())
            x = scheduler.scale_model_input(state, t).numpy()
            found.append(x.copy())
            largest.append(float(state.abs().max()))
            out = torch.from_numpy(network(x, np.full(len(x), int(t))))
            state = scheduler.step(out, t, state, **step_options).prev_sample
    finally:
        module.randn_tensor = kept
    found.append(state.numpy())  # after the last step x and state are one: alpha_bar is 1
    largest.append(float(state.abs().max()))
    return np.stack(found[1:]), np.maximum.accumulate(largest)[1:]
