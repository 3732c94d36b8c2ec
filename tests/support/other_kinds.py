"""Cards of other kinds than images of betas, and networks for them whose chains are known."""

import numpy as np
from gaussian_model import PIXEL_VARIANCE, gaussian_card

from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess

SIGMAS = SigmaProcess(0.002, 80.0)
SEQUENCE = (2, 12)


def sigma_card(**changes):
    facts = {"betas": (), "process": SIGMAS, "prediction": "x0", "spacing": "karras", "image_shape": SEQUENCE}
    return gaussian_card(**(facts | changes))


def flow_card(**changes):
    facts = {"betas": (), "process": FlowProcess(), "prediction": "velocity", "image_shape": SEQUENCE}
    return gaussian_card(**(facts | changes))


def as_told(t):
    """A network of float32 times gets them rounded."""
    return t.astype(np.float32).astype(np.float64)


def each(values, x):
    """`[B]` as `[B, 1, ...]`, float32."""
    return np.asarray(values, np.float32).reshape(-1, *[1] * (x.ndim - 1))


def x0_of_sigma(x, t, y=None, inputs=None):
    """The exact denoiser of numbers from N(0, PIXEL_VARIANCE) with noise of deviation t, moved by `shift`."""
    out = each(PIXEL_VARIANCE / (PIXEL_VARIANCE + np.square(as_told(t))), x) * x
    return out if not inputs else out + each(inputs["shift"], x)


def velocity_of_flow(x, t, y=None, inputs=None):
    """The exact velocity of the flow from N(0, PIXEL_VARIANCE)."""
    t = as_told(t)
    gain = (t - (1 - t) * PIXEL_VARIANCE) / ((1 - t) ** 2 * PIXEL_VARIANCE + t**2)
    return each(gain, x) * x


def mixed(x, t, y=None, inputs=None):
    """A network that uses an image, a number and its previous x0."""
    out = np.float32(0.5) * x + np.float32(0.25) * inputs["image"] - np.float32(0.125) * inputs["before"]
    return out + each(inputs["number"], x) * np.float32(0.01)


def mixed_card(**changes):
    card = gaussian_card(clip=(-1.0, 1.0))
    inputs = {
        "image": InputFacts("float32", card.image_shape),
        "number": InputFacts("int64", ()),
        "before": InputFacts("float32", card.image_shape, "prev_x0"),
    }
    return gaussian_card(**({"clip": (-1.0, 1.0), "inputs": inputs} | changes))


def images(count, shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)
