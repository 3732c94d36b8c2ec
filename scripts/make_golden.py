"""Write tests/golden for the tests of both languages: noise, and a short chain for every kind of step table.

    python scripts/make_golden.py

`noise.json` has Philox words by counter and normals by address, as bits. `chains.json` has the images of the
`*.steps.json` beside it for the network `answer`, whose output is the same float32 in every language. `card.json` is
the card of the unconditional chains' model. `edits.json` has chains that start from images or keep a part of them.
`format2` has the same of cards and steps files of format 2, each with
its card; a network with self-conditioning adds half of the previous x0 to its answer. A commit that changes these files
must give the reason.
"""

import json
import math
from pathlib import Path

import numpy as np

from ddpm_rt import ModelCard, Provenance
from ddpm_rt.artifacts.card_facts import InputFacts, Latents
from ddpm_rt.artifacts.steps_file import write_steps
from ddpm_rt.host_loop import Beginning, trajectory
from ddpm_rt.noise import INITIAL_STEP, normal, philox4x32
from ddpm_rt.requests.conditioned import Conditions, conditioned
from ddpm_rt.requests.edit import Edit
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
SHAPE = (1, 3, 5)  # 15 values: the last quad has only three
SEED, FIRST, COUNT = 0x0123456789ABCDEF, (1 << 32) - 1, 2  # the second sample number needs two 32-bit words
STEPS = 6
LABELS, GUIDANCE, CLASSES, NULL_CLASS = (0, 1), 2.5, 3, 2
MOST = 0xFFFFFFFF

# counter and key; the first, second and last are Random123's known answers
WORDS = [
    ((0, 0, 0, 0), (0, 0)),
    ((MOST, MOST, MOST, MOST), (MOST, MOST)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)),
]
# seed, sample, step, size: every field at its limits
NORMALS = [
    (0, 0, 0, 9),
    (7, 40, 3, 512),
    (7, 40, INITIAL_STEP, 16),
    ((1 << 64) - 1, (1 << 64) - 1, INITIAL_STEP, 13),
    (1 << 32, 1 << 32, 999, 8),
    (MOST, MOST, MOST - 1, 8),
]
# name of the chain: card, recipe
CHAINS = {
    "ddpm": ({}, {"sampler": "ddpm"}),
    "ddpm-large": ({"variance": "fixed_large"}, {"sampler": "ddpm"}),
    "ddpm-learned": ({"variance": "learned"}, {"sampler": "ddpm"}),
    "ddpm-learned-range": ({"variance": "learned_range"}, {"sampler": "ddpm"}),
    "ddpm-x0": ({"prediction": "x0"}, {"sampler": "ddpm"}),
    "ddpm-v-unclipped": ({"prediction": "v", "clip": None}, {"sampler": "ddpm"}),
    "ddim": ({}, {"sampler": "ddim"}),
    "ddim-eta": ({}, {"sampler": "ddim", "eta": 0.7}),
    "ddim-diffusers": ({}, {"sampler": "ddim", "dialect": "diffusers"}),
    "dpm": ({}, {"sampler": "dpm++"}),
    "dpm-sde": ({}, {"sampler": "dpm++sde"}),
    "euler": ({}, {"sampler": "euler"}),
    "euler-a": ({}, {"sampler": "euler-a"}),
    "lcm": ({}, {"sampler": "lcm"}),
    "guided": ({"classes": CLASSES, "null_class": NULL_CLASS}, {"sampler": "ddim", "eta": 1.0}),
}


SIGMAS = SigmaProcess(0.002, 80.0)
EDM = SigmaProcess(0.002, 80.0, time="log_sigma", time_scale=0.25, sigma_data=0.5)
LEVELS = {"betas": (), "process": SIGMAS, "prediction": "x0", "spacing": "karras", "clip": None}
FLOW = {"betas": (), "process": FlowProcess(time_scale=1000.0, shift=3.0), "prediction": "velocity", "clip": None}
BEFORE = {"before": InputFacts("float32", SHAPE, "prev_x0")}
GUIDED = {"classes": CLASSES, "null_class": NULL_CLASS, "inputs": BEFORE}
# the same, of format 2
CHAINS_2 = {
    "sigma": (LEVELS, {"sampler": "dpm++"}),
    "sigma-noise": (LEVELS, {"sampler": "euler-a", "spacing": "logsnr"}),
    "consistency": (LEVELS, {"sampler": "consistency", "steps": 3}),
    "edm": (LEVELS | {"process": EDM, "prediction": "edm"}, {"sampler": "dpm++sde"}),
    "flow": (FLOW, {"sampler": "euler"}),
    "flow-reversed": (FLOW | {"process": FlowProcess(time="1-t")}, {"sampler": "ddim", "eta": 0.5}),
    "fractional": ({"spacing": "karras"}, {"sampler": "dpm++"}),
    "number": ({"image_shape": (3,)}, {"sampler": "ddim"}),
    "sequence": ({"image_shape": (2, 7)}, {"sampler": "ddpm"}),
    "volume": ({"image_shape": (1, 2, 3, 4)}, {"sampler": "ddim"}),
    "self-conditioned": ({"inputs": BEFORE}, {"sampler": "ddpm"}),
    "self-conditioned-guided": (GUIDED, {"sampler": "dpm++"}),
    "latents": ({"image_shape": (4, 2, 3), "latents": Latents(0.18215, 0.5, "decoder.onnx")}, {"sampler": "ddim"}),
}
# folder and name of the chain, strength, whether a part is kept, passes
EDITS = [
    ("", "ddpm", 0.5, False, 1),
    ("", "dpm", 0.5, False, 1),
    ("", "ddpm", 1.0, True, 3),
    ("format2", "sigma-noise", 0.7, True, 2),
    ("format2", "edm", 0.7, True, 1),
    ("format2", "flow-reversed", 0.7, True, 2),
    ("format2", "fractional", 0.7, False, 1),
    ("format2", "self-conditioned", 0.7, True, 2),
]


def golden_card(**changes) -> ModelCard:
    names = {"x": "x", "t": "t", "out": "out"} | ({"y": "y"} if "classes" in changes else {})
    facts = {
        "image_shape": SHAPE,
        "betas": tuple(np.linspace(1e-3, 0.3, 20).tolist()),
        "prediction": "eps",
        "variance": "fixed_small",
        "clip": (-1.0, 1.0),
        "spacing": "trailing",
        "classes": None,
        "null_class": None,
        "names": names,
        "precision": "fp32",
        "provenance": Provenance("golden", "0" * 64, {"golden": "1"}, {"max_abs_error": 0.0}),
    }
    return ModelCard(**(facts | changes))


class Answers:
    """An engine whose output depends on the row, channel, position and class, but not on x."""

    def __init__(self, card: ModelCard) -> None:
        self.card, self.row = card, 0

    def __call__(self, x, t, y=None, inputs=None):
        channels = x.shape[1] * (2 if self.card.variance.startswith("learned") else 1)
        size = channels * math.prod(x.shape[2:])
        image, place = np.mgrid[: len(x), :size]
        image = image % COUNT  # guidance evaluates every image twice
        label = 0 if y is None else y[:, None]
        out = answer(self.row, image, place, label).reshape(len(x), channels, *x.shape[2:])
        self.row += 1
        return out if not inputs else out + np.float32(0.5) * inputs["before"]


def answer(row, image, place, label):
    return (((31 * row + 17 * place + 5 * image + 7 * label) % 41 - 20) / np.float32(16)).astype(np.float32)


def run(card, compiled):
    engine = Answers(card)
    denoise = engine
    if card.classes is not None or card.inputs:
        labels = None if card.classes is None else np.array(LABELS)
        null = None if labels is None else Conditions(np.full_like(labels, card.null_class))
        guidance = 1.0 if labels is None else GUIDANCE
        denoise = conditioned(engine, Conditions(labels, {}, card.prev_x0), guidance=guidance, null=null)
    samples = range(FIRST, FIRST + COUNT)
    steps = trajectory(
        denoise, compiled.table, card.image_shape, seed=SEED, samples=samples, clip=compiled.clip,
        begin=Beginning(scale=compiled.initial_scale), self_conditioned=card.prev_x0 is not None,
    )  # fmt: skip
    for step in steps:
        last = step
    return last.x, last.x0


def edited(folder: str, name: str, strength: float, masked: bool, resample: int):
    """The last x of an edit of images whose values are exact in float32."""
    changes, recipe = (CHAINS_2 if folder else CHAINS)[name]
    card = golden_card(**changes)
    compiled = SamplerOptions(**{"steps": STEPS} | recipe).compile(card)
    place = np.arange(COUNT * math.prod(SHAPE))
    images = ((37 * place % 33 - 16) / np.float32(16)).astype(np.float32).reshape(COUNT, *SHAPE)
    mask = (np.arange(math.prod(SHAPE[1:])) % 3 == 0).reshape(SHAPE[1:]) if masked else None
    request = Edit(
        compiled=compiled, seed=SEED, first=FIRST, count=COUNT, images=images, strength=strength, mask=mask,
        resample=resample,
    )  # fmt: skip
    for step in request.bind(card).trajectory(Answers(card), request.samples):
        x = step.x
    return x


def bits(values) -> list[int]:
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32).tolist()


def noise() -> dict:
    def words(counter, key):
        made = philox4x32(tuple(np.array([word], np.uint64) for word in counter), key)
        return [int(word[0]) for word in made]

    return {
        "words": [{"counter": c, "key": k, "words": words(c, k)} for c, k in WORDS],
        "normals": [
            {"seed": seed, "sample": sample, "step": step, "bits": bits(normal(seed, [sample], step, size))}
            for seed, sample, step, size in NORMALS
        ],
    }


def write_chains(folder: Path, kinds: dict[str, tuple[dict, dict]]) -> None:
    """The steps files and the chains of `kinds`; where the format is 2, a card for each as well."""
    folder.mkdir(exist_ok=True)
    chains = []
    for name, (changes, recipe) in kinds.items():
        card = golden_card(**changes)
        compiled = SamplerOptions(**{"steps": STEPS} | recipe).compile(card)
        write_steps(folder / f"{name}.steps.json", compiled, card)
        if folder != GOLDEN:
            (folder / f"{name}.card.json").write_text(card.to_json())
        x, x0 = run(card, compiled)
        chains.append({"name": name, "x": bits(x), "x0": bits(x0)})
    asked = {"seed": SEED, "first": FIRST, "count": COUNT, "labels": LABELS, "guidance": GUIDANCE}
    text = json.dumps(asked | {"chains": chains}).replace('{"name"', '\n{"name"')
    (folder / "chains.json").write_text(text + "\n")


def edits() -> list[dict]:
    keys = ("folder", "name", "strength", "masked", "resample")
    return [dict(zip(keys, edit, strict=True)) | {"x": bits(edited(*edit))} for edit in EDITS]


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "noise.json").write_text(json.dumps(noise()) + "\n")
    (GOLDEN / "card.json").write_text(golden_card().to_json())
    (GOLDEN / "edits.json").write_text(json.dumps(edits()).replace('{"folder"', '\n{"folder"') + "\n")
    write_chains(GOLDEN, CHAINS)
    write_chains(GOLDEN / "format2", CHAINS_2)


if __name__ == "__main__":
    main()
