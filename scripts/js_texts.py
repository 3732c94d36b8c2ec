"""Cards and steps files of both formats, whole and damaged, and whether Python reads each: js_files.py writes them."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from gaussian_model import gaussian_card
from other_kinds import flow_card, mixed_card, sigma_card

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.artifacts.steps_file import parse_steps, steps_text
from ddpm_rt.requests.sampler_options import SamplerOptions

# key, value: what is changed in a valid card or steps file; GONE removes the key, and dots lead into objects
GONE = object()
CARD_CHANGES = [
    ("format", 2), ("format", 1.0), ("image_shape", [1, 4, 6.0]), ("image_shape", [0, 4, 6]),
    ("image_shape", [1, 65536, 65536]), ("betas", []), ("betas", [0.5, 1]), ("betas", [1, 0.5]),
    ("betas", [0.1, True]), ("betas", [0.1, "0.2"]), ("prediction", "epsilon"), ("variance", "none"),
    ("spacing", "even"), ("clip", None), ("clip", [1, -1]), ("clip", [-1e39, 1]), ("clip", [1.0, 1.00000001]),
    ("classes", 0), ("classes", 3), ("null_class", 0), ("names", {"x": "x", "t": "t"}),
    ("names", {"x": "x", "t": "t", "out": 3}), ("precision", 32), ("precision", "p" * 1001), ("unknown", 1),
    ("provenance", GONE), ("provenance", {"source": "s"}), ("spacing", "karras"),
    ("image_shape", [24]), ("shape", [1, 4, 6]),
]  # fmt: skip
STEPS_CHANGES = [
    ("format", 2),
    ("card_sha256", "0" * 64),
    ("steps", 3),
    ("steps", 4.0),
    ("sampler", "two\nlines"),
    ("sampler", 3),
    ("clip", [1, 1]),
    ("clip", None),
    ("t", [999, 500, 1, 1000]),
    ("t", [999.0, 500, 1, 0]),
    ("sigma", [0, 0, 0]),
    ("sigma", [0, 0, 0, 1e39]),
    ("sigma", [0, 0, 0, None]),
    ("channels", 3),
    ("output", "y"),
    ("input_y", "y"),
    ("classes", 2),
    ("unknown", 1),
    ("x0_from_x", 1),
    ("channels", 1.0),
    ("classes", False),
    ("initial_scale", 1.0),
]
SHARED_CHANGES = [
    ("format", 1), ("format", 3), ("shape", [0]), ("shape", [1, 2, 3, 4, 5]), ("shape", []), ("shape", [65536] * 4),
    ("shape", GONE), ("image_shape", [1, 4, 6]), ("betas", [0.1]), ("process", None), ("process.kind", "vp"),
    ("process.kind", GONE), ("process.more", 1), ("prediction", "edm"), ("prediction", "velocity"),
    ("prediction", "x0"), ("variance", "learned"), ("spacing", "karras"), ("spacing", "trailing"), ("inputs", []),
    ("inputs", None), ("space", None), ("space.kind", "images"), ("space.scale", 1.0), ("space", {"kind": "latents"}),
    ("space", {"kind": "latents", "scale": 0.5, "shift": 0, "decoder": None}),
    ("space", {"kind": "latents", "scale": 0, "shift": 0, "decoder": None}),
    ("space", {"kind": "latents", "scale": 0.5, "shift": 0.1, "decoder": "décodeur 1.onnx"}),
    ("space", {"kind": "latents", "scale": 0.5, "shift": 0.1, "decoder": "../decoder.onnx"}),
]  # fmt: skip
SIGMA_CHANGES = [
    ("process.sigma_min", 0), ("process.sigma_min", 80.0), ("process.sigma_min", True), ("process.sigma_min", "0.1"),
    ("process.sigma_max", 1), ("process.sigma_max", 1e7), ("process.sigma_max", None), ("process.time", "t"),
    ("process.time", []), ("process.time_scale", 0), ("process.time_scale", -1000), ("process.time_scale", True),
    ("process.time_scale", 1e400), ("process.sigma_data", 0.5), ("process.sigma_data", 0), ("process.sigma_data", True),
    ("process.sigma_data", GONE), ("process.shift", 1.0), ("process.betas", [0.1]),
]  # fmt: skip
FLOW_CHANGES = [
    ("process.shift", 3), ("process.shift", 1e4), ("process.shift", False), ("process.shift", None),
    ("process.time", "1-t"), ("process.time", "sigma"), ("process.sigma_min", 0.1), ("process.shift", GONE),
]  # fmt: skip
INPUT_CHANGES = [
    ("inputs.image", 1), ("inputs.x", {"dtype": "float32", "shape": [1, 4, 6], "role": "condition"}),
    ("inputs.", {"dtype": "float32", "shape": [], "role": "condition"}), ("inputs.image.dtype", "float16"),
    ("inputs.image.shape", [2] * 7), ("inputs.image.shape", [2] * 6), ("inputs.image.shape", 4),
    ("inputs.image.shape", [1, 4.0, 6]), ("inputs.image.role", "prev_x0"), ("inputs.image.role", "y"),
    ("inputs.image.more", 1), ("inputs.image.role", GONE), ("inputs.before.dtype", "int64"),
    ("inputs.before.shape", [1, 4, 7]), ("inputs.0", {"dtype": "int32", "shape": [], "role": "condition"}),
    ("inputs", {f"i{n}": {"dtype": "int32", "shape": [], "role": "condition"} for n in range(17)}),
    ("inputs", {"n" * 1001: {"dtype": "int32", "shape": [], "role": "condition"}}), ("inputs.x\ny", None),
]  # fmt: skip
STEPS_2_CHANGES = [
    ("format", 1), ("shape", [1, 4]), ("shape", [1.0, 4, 6]), ("inputs", []), ("inputs", {}), ("inputs", GONE),
    ("initial_scale", 0), ("initial_scale", -1.0), ("initial_scale", 2), ("initial_scale", 1e39),
    ("initial_scale", True), ("initial_scale", None), ("initial_scale", GONE), ("t", [1.5, 1.25, 0.5, 0]),
    ("t", [5000, 3, 2, 1]), ("t", [-1.0, 3, 2, 1]), ("t", [1e39, 3, 2, 1]), ("t", [True, 3, 2, 1]),
    ("t", [999, 500.5, 1, 0]), ("t", [999.5, 500.5, 1, 0]), ("channels", 1), ("clip", None), ("unknown", 1),
    ("card_sha256", "0" * 64), ("steps", 3), ("output_channels", True), ("input_t", "s"),
]  # fmt: skip
NUMBERED = {name: InputFacts("int64", ()) for name in ("level", "1", "0")}  # JavaScript keeps integers first
MIXED = [{"name": "image", "dtype": "float32", "shape": [1, 4, 6], "role": "condition"},
         {"name": "number", "dtype": "int64", "shape": [], "role": "condition"},
         {"name": "before", "dtype": "float32", "shape": [1, 4, 6], "role": "prev_x0"}]  # fmt: skip
INPUT_LISTS = [
    ("inputs", MIXED), ("inputs", MIXED[::-1]), ("inputs", [*MIXED, MIXED[0]]), ("inputs", MIXED[:2]),
    ("inputs", [*MIXED[:2], MIXED[2] | {"more": 1}]), ("inputs", [*MIXED[:2], MIXED[2] | {"shape": [1, 4.0, 6]}]),
    ("inputs", [*MIXED[:2], MIXED[2] | {"name": 1}]), ("inputs", [*MIXED[:2], "before"]),
]  # fmt: skip
BROKEN = [
    '{"format": 1, "format": 1}',
    "[" * 100,
    "",
    "null",
    '{"a": ' + "1" * 101 + "}",
    '{"format": 1} x',
    '{"a": NaN}',
]  # fmt: skip


def changed(text: str, path: str, value: object) -> str:
    raw = json.loads(text)
    *outer, key = path.split(".")
    place = raw
    for name in outer:
        place = place[name] if isinstance(place.get(name), dict) else place.setdefault(name, {})
    if value is GONE:
        place.pop(key, None)
    else:
        place[key] = value
    return json.dumps(raw)


def verdicts() -> dict[str, object]:
    """Texts of both formats, whole and damaged, and whether Python reads them."""
    kinds = [
        (gaussian_card(), CARD_CHANGES, STEPS_CHANGES),
        (gaussian_card(image_shape=(2, 7)), SHARED_CHANGES, STEPS_2_CHANGES),
        (sigma_card(), [*SHARED_CHANGES, *SIGMA_CHANGES], STEPS_2_CHANGES),
        (flow_card(), [*SHARED_CHANGES, *FLOW_CHANGES], STEPS_2_CHANGES),
        (mixed_card(), [*SHARED_CHANGES, *INPUT_CHANGES], [*STEPS_2_CHANGES, *INPUT_LISTS]),
        (gaussian_card(inputs=NUMBERED), [], []),
    ]
    cards: list[list[object]] = [[text, False] for text in BROKEN]
    steps: list[list[object]] = []
    for card, card_changes, steps_changes in kinds:
        text = card.to_json()
        table = steps_text(SamplerOptions(steps=4).compile(card), card)
        texts = [text, *(changed(text, *change) for change in card_changes)]
        cards += [[one, _reads(lambda one=one: ModelCard.from_json(one))] for one in texts]
        tables = [table, *(changed(table, *change) for change in steps_changes), *BROKEN]
        steps += [[text, one, _reads(lambda one=one, card=card: parse_steps(one, card, "steps"))] for one in tables]
    return {"cards": cards, "steps": steps}


def _reads(read) -> bool:
    try:
        read()
    except DdpmRtError:
        return False
    return True
