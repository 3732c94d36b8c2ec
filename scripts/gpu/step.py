"""Part step: the step kernel has the bits of the host loop, for step tables of every kind."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ddpm_rt import ModelCard
from ddpm_rt.artifacts.card_format import PREDICTIONS
from ddpm_rt.requests.edit import Edit
from ddpm_rt.requests.request import Request
from ddpm_rt.samplers import samplers_of

from .bits import differing, steps_on_device, steps_on_host
from .check import Ask, Check, Outcome, attempt, held
from .toy import ToyEngine, ToyNetwork, toy_card


class Case(NamedTuple):
    """A request, and the card and the engine options of its network."""

    name: str
    request: Request
    card: ModelCard
    engine: dict[str, Any]  # options of `ToyEngine`


def case(name: str, request: dict[str, Any], card: dict[str, Any] | None = None, **engine: Any) -> Case:
    """A case of three samples and seven steps, unless `request` says otherwise."""
    asked = Request(**{"sampler": "ddim", "count": 3, "batch": 3, "seed": 5} | request)
    return Case(name, asked, toy_card(**card or {}), engine)


def cases() -> Iterator[Case]:
    """Every sampler with every prediction, with and without a clip; then all variants of tables, lanes and buffers."""
    for sampler in samplers_of("betas"):
        for prediction in PREDICTIONS["betas"]:
            for clip in ((-1.0, 1.0), None):
                words = f"{sampler} of {prediction}" + ("" if clip else ", unclipped")
                yield case(words, {"sampler": sampler, "steps": 7}, {"prediction": prediction, "clip": clip})
    ddpm = {"sampler": "ddpm", "steps": 7}
    for variance in ("fixed_large", "learned", "learned_range"):
        yield case(f"ddpm of variance {variance}", ddpm, {"variance": variance})
    yield case("ddim with eta 1", {"steps": 7, "eta": 1.0})
    yield case("ddim as diffusers has it", {"steps": 7, "dialect": "diffusers"})
    yield case("one step", {"steps": 1})
    yield case("listed timesteps", {"timesteps": (999, 500, 499, 0)})
    yield case("the last seed and samples", ddpm | {"seed": (1 << 64) - 1, "first": (1 << 64) - 3})
    yield case("labels", ddpm | {"label": (1, 0, 2)}, {"classes": 3})
    for variance in ("fixed_small", "learned_range"):
        card = {"classes": 3, "null_class": 2, "variance": variance}
        yield case(f"guidance, {variance}", ddpm | {"label": (1, 0), "guidance": 2.5}, card)
    for kind in (np.int32, np.float32):
        yield case(f"t as {np.dtype(kind).name}", ddpm, time_type=kind)
    yield case("one t for all", ddpm, one_time=True)
    yield case("a batch that is filled up", ddpm, static_batch=8)
    for shape in ((1, 1, 3), (3, 5, 7), (3, 32, 32)):
        yield case("images of " + "x".join(map(str, shape)), ddpm, {"shape": shape})
    yield begun_on_the_way()


def begun_on_the_way() -> Case:
    """A request that starts from an image, noised to the level of the fifth of ten rows."""
    card = toy_card()
    images = np.linspace(-1, 1, 2 * 16, dtype=np.float32).reshape(2, *card.image_shape)
    request = Edit(sampler="ddpm", steps=10, count=2, batch=2, seed=5, images=images, strength=0.5)
    return Case("from an image, on the way", request, card, {})


def compare(device: Any, one: Case) -> Outcome:
    """Compare x and x0 after every row."""
    expected = steps_on_host(ToyNetwork(one.card), one.request)
    found = steps_on_device(device, ToyEngine(device, one.card, **one.engine), one.request)
    if [(step.row, step.t) for step in found] != [(step.row, step.t) for step in expected]:
        return held(False, f"rows {[step.row for step in found]}, not {[step.row for step in expected]}")
    for ours, theirs in zip(found, expected, strict=True):
        wrong = differing(ours.x, theirs.x) + differing(ours.x0, theirs.x0)
        if wrong:
            return held(False, f"{wrong} values of x and x0 differ after row {ours.row}", row=ours.row)
    return held(True, f"{len(expected)} rows")


def checks(ask: Ask) -> Iterator[Check]:
    """One check per case."""
    for one in cases():
        yield attempt(f"NumPy's bits: {one.name}", lambda one=one: compare(ask.device, one))
