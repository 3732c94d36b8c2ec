"""Write what the tests of runtime/js compare with Python: models, steps files, images, and damaged texts with verdicts.

    python scripts/js_files.py FOLDER [ORT]

ORT is the folder dist of onnxruntime-web; with it, sites are written too.

`cases.json` lists the chains, whose images are `NAME.f32`: float32, little-endian, `[count, C, H, W]`. `texts.json`
lists cards and steps files, and whether Python reads each. The models are those of the package and of tests/support.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from gaussian_model import conditional_card, gaussian_card, write_conditional, write_gaussian

from ddpm_rt import DdpmRtError, ModelCard, Request
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.steps_file import parse_steps, steps_text, write_steps
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.web.site import write_site

SEED, FIRST, COUNT = (1 << 64) - 5, (1 << 53) - 1, 3  # JSON.parse would round both, and half of the samples
STEPS = 10
LEARNED = {"variance": "learned_range", "clip": (-1.0, 1.0)}

# name of the case: model, sampler, what else is asked
CASES = {
    "mnist-ddim": ("mnist", {"sampler": "ddim"}, {}),
    "mnist-ddpm": ("mnist", {"sampler": "ddpm"}, {}),
    "gaussian-dpm": ("gaussian", {"sampler": "dpm++"}, {}),
    "fixed-euler-a": ("fixed", {"sampler": "euler-a"}, {}),
    "one-time-lcm": ("one_time", {"sampler": "lcm"}, {"label": 1}),
    "int32-ddpm": ("int32", {"sampler": "ddpm"}, {}),
    "guided-learned": ("learned", {"sampler": "ddpm"}, {"label": (2, 0), "guidance": 2.5}),
}

# key, value: what is changed in a valid card or steps file; None removes the key
CARD_CHANGES = [
    ("format", 2), ("image_shape", [1, 4]), ("image_shape", [1, 4, 6.0]), ("image_shape", [0, 4, 6]),
    ("image_shape", [1, 65536, 65536]), ("betas", []), ("betas", [0.5, 1]), ("betas", [1, 0.5]),
    ("betas", [0.1, True]), ("betas", [0.1, "0.2"]), ("prediction", "epsilon"), ("variance", "none"),
    ("spacing", "even"), ("clip", None), ("clip", [1, -1]), ("clip", [-1e39, 1]), ("clip", [1.0, 1.00000001]),
    ("classes", 0), ("classes", 3), ("null_class", 0), ("names", {"x": "x", "t": "t"}),
    ("names", {"x": "x", "t": "t", "out": 3}), ("precision", 32), ("precision", "p" * 1001), ("unknown", 1),
    ("provenance", None), ("provenance", {"source": "s"}),
]  # fmt: skip
STEPS_CHANGES = [
    ("format", 2), ("card_sha256", "0" * 64), ("steps", 3), ("steps", 4.0), ("sampler", "two\nlines"), ("sampler", 3),
    ("clip", [1, 1]), ("clip", None), ("t", [999, 500, 1, 1000]), ("t", [999.0, 500, 1, 0]), ("sigma", [0, 0, 0]),
    ("sigma", [0, 0, 0, 1e39]), ("sigma", [0, 0, 0, None]), ("channels", 3), ("output", "y"), ("input_y", "y"),
    ("classes", 2), ("unknown", 1), ("x0_from_x", 1),
]  # fmt: skip
BROKEN = [
    '{"format": 1, "format": 1}',
    "[" * 100,
    "",
    "null",
    '{"a": ' + "1" * 101 + "}",
    '{"format": 1} x',
    '{"a": NaN}',
]


def write_models(folder: Path) -> None:
    shutil.copy(bundled_model(), folder / "mnist.onnx")
    write_gaussian(folder / "gaussian.onnx")
    write_gaussian(folder / "fixed.onnx", batch=2)
    write_gaussian(folder / "poison.onnx", poison_at=999)
    write_conditional(folder / "one_time.onnx", time="one float32")
    write_conditional(folder / "learned.onnx", card=conditional_card(**LEARNED), spread=0.3)
    write_conditional(folder / "int32.onnx", time="int32")
    write_gaussian(folder / "cardless.onnx", metadata=False)
    write_ten(folder / "ten.onnx")


def write_ten(path: Path) -> None:
    """A model of ten classes and a null class, whose images are lighter from class to class."""
    model = onnx.load(write_conditional(path, card=conditional_card(classes=11, null_class=10)))
    (means,) = [tensor for tensor in model.graph.initializer if tensor.name == "mean"]
    means.CopyFrom(onnx.numpy_helper.from_array(np.linspace(-0.9, 0.9, 11, dtype=np.float32), "mean"))
    onnx.save(model, path)


def write_case(folder: Path, name: str) -> dict[str, object]:
    model, options, asked = CASES[name]
    path = folder / f"{model}.onnx"
    card = read_onnx_card(path)
    plan = SamplerOptions(steps=STEPS, **options).compile(card)
    write_steps(folder / f"{name}.steps.json", plan, card)
    with OrtDenoiser(path, threads=1) as engine:
        images = Request(seed=SEED, first=FIRST, count=COUNT, batch=2, compiled=plan, **asked).drawn(engine)
    (folder / f"{name}.f32").write_bytes(images.astype("<f4").tobytes())
    return {"name": name, "model": f"{model}.onnx", "steps": f"{name}.steps.json", **asked}


def write_sites(folder: Path, ort: Path) -> None:
    """The bundled model's site, and that of ten classes and a null class."""
    write_site(folder / "mnist.onnx", folder / "mnist-ddim.steps.json", folder / "site", title="Digits", ort=ort)
    card = read_onnx_card(folder / "ten.onnx")
    write_steps(folder / "ten.steps.json", SamplerOptions(steps=STEPS).compile(card), card)
    write_site(folder / "ten.onnx", folder / "ten.steps.json", folder / "labelled-site", ort=ort)


def changed(text: str, key: str, value: object) -> str:
    raw = json.loads(text)
    if key == "provenance" and value is None:
        del raw[key]
    else:
        raw[key] = value
    return json.dumps(raw)


def verdicts(card: ModelCard) -> dict[str, object]:
    plan = SamplerOptions(steps=4, sampler="ddpm").compile(card)
    text, steps = card.to_json(), steps_text(plan, card)
    cards = [text, *(changed(text, *change) for change in CARD_CHANGES), *BROKEN]
    tables = [steps, *(changed(steps, *change) for change in STEPS_CHANGES), *BROKEN]
    return {
        "card": text,
        "cards": [[one, _reads(lambda one=one: ModelCard.from_json(one))] for one in cards],
        "steps": [[one, _reads(lambda one=one: parse_steps(one, card, "steps"))] for one in tables],
    }


def _reads(read) -> bool:
    try:
        read()
    except DdpmRtError:
        return False
    return True


def main(folder: Path, ort: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_models(folder)
    cases = [write_case(folder, name) for name in CASES]
    asked = {"seed": str(SEED), "first": str(FIRST), "count": COUNT, "batch": 2}
    (folder / "cases.json").write_text(json.dumps(asked | {"cases": cases}))
    if ort is not None:
        write_sites(folder, ort)
    (folder / "texts.json").write_text(json.dumps(verdicts(gaussian_card())))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
