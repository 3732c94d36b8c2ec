"""Write what the tests of runtime/js compare with Python: models, steps files, images, and damaged texts with verdicts.

    python scripts/js_files.py FOLDER [ORT]

ORT is the folder dist of onnxruntime-web; with it, sites are written too.

`cases.json` lists the chains, whose images are `NAME.f32`: float32, little-endian, `[count, C, ...]`. `texts.json` has
what js_texts.py lists, and `signatures.json` models whose card may be wrong about their graph. The models are those of
the package and of tests/support.
"""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from condition_files import (
    denoiser_card,
    super_resolution_card,
    write_denoiser,
    write_divided,
    write_mixed,
    write_super_resolution,
)
from gaussian_model import conditional_card, gaussian_card, write_conditional, write_gaussian
from js_texts import verdicts
from other_kinds import SIGMAS, flow_card, images, mixed_card

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.artifacts.card_facts import InputFacts
from ddpm_rt.artifacts.fitted_tables import METADATA_PREFIX, embed
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.onnx_metadata import write_metadata
from ddpm_rt.artifacts.steps_file import steps_text, write_steps
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.web.site import write_site

SEED, FIRST, COUNT = (1 << 64) - 5, (1 << 53) - 1, 3  # JSON.parse would round both, and half of the samples
STEPS = 10
LEARNED = {"variance": "learned_range", "clip": (-1.0, 1.0)}
LOW_RES = images(2, (1, 4, 6))
GREY = np.arange(0, 240, 10, np.uint8).reshape(4, 6)
MIXED = {"image": (GREY / np.float32(127.5) - np.float32(1)).astype(np.float32)[None], "number": np.array([20, -30])}
GUIDED = {"guidance": 2.5, "inputs": {"low_res": LOW_RES}, "null_inputs": {"low_res": 0.25}}

# name of the case: model, sampler, what else is asked
CASES = {
    "mnist-ddim": ("mnist", {"sampler": "ddim"}, {}),
    "mnist-ddpm": ("mnist", {"sampler": "ddpm"}, {}),
    "gaussian-dpm": ("gaussian", {"sampler": "dpm++"}, {}),
    "fixed-euler-a": ("fixed", {"sampler": "euler-a"}, {}),
    "one-time-lcm": ("one_time", {"sampler": "lcm"}, {"label": 1}),
    "int32-ddpm": ("int32", {"sampler": "ddpm"}, {}),
    "guided-learned": ("learned", {"sampler": "ddpm"}, {"label": (2, 0), "guidance": 2.5}),
    "sequence-ddpm": ("sequence", {"sampler": "ddpm"}, {}),
    "volume-karras": ("volume", {"sampler": "dpm++", "spacing": "karras"}, {}),
    "flow-euler": ("flow", {"sampler": "euler"}, {}),
    "levels-consistency": ("levels", {"sampler": "consistency"}, {"inputs": {"difficulty": 42.5}}),
    "levels-entries": ("levels", {"sampler": "euler-a"}, {"inputs": {"difficulty": np.array([10.0, 42.5])}}),
    "mixed-ddim": ("mixed", {"sampler": "ddim"}, {"inputs": MIXED}),
    "resolved-ddpm": ("resolved", {"sampler": "ddpm"}, {"inputs": {"low_res": LOW_RES}}),
    "resolved-guided": ("resolved", {"sampler": "dpm++"}, GUIDED),
    "resolved-fixed": ("resolved-fixed", {"sampler": "ddpm"}, {"inputs": {"low_res": LOW_RES}}),
}


def write_models(folder: Path) -> None:
    shutil.copy(bundled_model(), folder / "mnist.onnx")
    write_gaussian(folder / "gaussian.onnx")
    write_gaussian(folder / "fixed.onnx", batch=2)
    write_tuned(folder)
    write_gaussian(folder / "poison.onnx", poison_at=999)
    write_conditional(folder / "one_time.onnx", time="one float32")
    write_conditional(folder / "learned.onnx", card=conditional_card(**LEARNED), spread=0.3)
    write_conditional(folder / "int32.onnx", time="int32")
    write_gaussian(folder / "cardless.onnx", metadata=False)
    write_ten(folder / "ten.onnx")
    write_divided(folder / "sequence.onnx", gaussian_card(image_shape=(2, 7)))
    write_divided(folder / "volume.onnx", gaussian_card(image_shape=(1, 2, 3, 5)))
    write_divided(folder / "flow.onnx", flow_card())
    write_denoiser(folder / "levels.onnx", card=denoiser_card())
    write_super_resolution(folder / "resolved.onnx")
    write_super_resolution(folder / "resolved-fixed.onnx", batch=2)
    write_mixed(folder / "mixed.onnx", mixed_card())


def write_tuned(folder: Path) -> None:
    """A model that contains two tables, as `ddpm-rt tune --embed` leaves it, and models with damaged tables."""
    path, card = write_gaussian(folder / "tuned.onnx"), gaussian_card()
    tables = [SamplerOptions(sampler="dpm++", steps=steps).compile(card) for steps in (STEPS - 1, STEPS)]
    for table in tables:
        embed(path, table, card)
    text = steps_text(tables[1], card)
    for name, content in {"wrong_calls": text, "cut_table": text[:100]}.items():
        write_metadata(write_gaussian(folder / f"{name}.onnx"), {f"{METADATA_PREFIX}30": content})


def write_ten(path: Path) -> None:
    """A model of ten classes and a null class, whose images are lighter from class to class."""
    model = onnx.load(write_conditional(path, card=conditional_card(classes=11, null_class=10)))
    (means,) = [tensor for tensor in model.graph.initializer if tensor.name == "mean"]
    means.CopyFrom(onnx.numpy_helper.from_array(np.linspace(-0.9, 0.9, 11, dtype=np.float32), "mean"))
    onnx.save(model, path)


def write_signatures(folder: Path) -> list[list[object]]:
    """Models whose card says something else than their graph, and whether Python opens them: `[[file, opens]]`."""
    level, pair = InputFacts("float32", ()), InputFacts("float32", (2,))
    resolved, swapped = super_resolution_card(), {"x": "noisy", "t": "difficulty", "out": "denoised"}
    kinds = [
        ("levels", denoiser_card(), {}),
        ("levels", denoiser_card(), {"inputs": {}}),
        ("levels", denoiser_card(), {"inputs": {"difficulty": pair}}),
        ("levels", denoiser_card(), {"inputs": {"difficulty": InputFacts("int64", ())}}),
        ("levels", denoiser_card(), {"inputs": {"difficulty": level, "level": level}}),
        ("levels", denoiser_card(), {"names": swapped, "inputs": {"sigma": level}}),
        ("levels", denoiser_card(), {"names": swapped | {"t": "sigma", "out": "other"}}),
        ("resolved", resolved, {}),
        ("resolved", resolved, {"inputs": {**resolved.inputs, "low_res": InputFacts("float32", (4, 6))}}),
        ("resolved", resolved, {"inputs": {**resolved.inputs, "low_res": InputFacts("float32", (1, 6, 4))}}),
        ("gaussian", gaussian_card(), {"process": SIGMAS, "betas": (), "prediction": "x0", "spacing": "karras"}),
        ("gaussian", gaussian_card(), {"image_shape": (24,)}),
        ("gaussian", gaussian_card(), {"variance": "learned"}),
        ("learned", conditional_card(**LEARNED), {"variance": "fixed_small"}),
    ]  # fmt: skip
    found: list[list[object]] = []
    for number, (name, card, changes) in enumerate(kinds):
        model, path = onnx.load(folder / f"{name}.onnx"), folder / f"signature-{number}.onnx"
        onnx.helper.set_model_props(model, {METADATA_KEY: replace(card, **changes).to_json()})
        onnx.save(model, path)
        found.append([path.name, opens(path)])
    return found


def opens(path: Path) -> bool:
    try:
        OrtDenoiser(path, threads=1).close()
    except DdpmRtError:
        return False
    return True


def write_case(folder: Path, name: str) -> dict[str, object]:
    model, options, asked = CASES[name]
    path = folder / f"{model}.onnx"
    card = read_onnx_card(path)
    plan = SamplerOptions(steps=STEPS, **options).compile(card)
    write_steps(folder / f"{name}.steps.json", plan, card)
    with OrtDenoiser(path, threads=1) as engine:
        images = Request(seed=SEED, first=FIRST, count=COUNT, batch=2, compiled=plan, **asked).drawn(engine)
    (folder / f"{name}.f32").write_bytes(images.astype("<f4").tobytes())
    return {"name": name, "model": f"{model}.onnx", "steps": f"{name}.steps.json", **_listed(asked)}


def _listed(asked: dict[str, object]) -> dict[str, object]:
    """What is asked for as JSON, arrays as lists of their entries."""
    return {
        key: {name: np.asarray(one).tolist() for name, one in value.items()} if isinstance(value, dict) else value
        for key, value in asked.items()
    }


def write_sites(folder: Path, ort: Path) -> None:
    """Sites of the bundled model, of ten classes (without and with WebGPU), and of a model with inputs; pictures."""
    write_site(folder / "mnist.onnx", folder / "mnist-ddim.steps.json", folder / "site", title="Digits", ort=ort)
    card = read_onnx_card(folder / "ten.onnx")
    write_steps(folder / "ten.steps.json", SamplerOptions(steps=STEPS).compile(card), card)
    write_site(folder / "ten.onnx", folder / "ten.steps.json", folder / "labelled-site", ort=ort)
    write_site(folder / "ten.onnx", folder / "ten.steps.json", folder / "webgpu-site", ort=ort, webgpu=True)
    write_site(folder / "mixed.onnx", folder / "mixed-ddim.steps.json", folder / "conditioned-site", ort=ort)
    np.save(folder / "picture.npy", MIXED["image"])
    Image.fromarray(GREY).save(folder / "picture.png")
    Image.fromarray(GREY[:3]).save(folder / "low-picture.png")


def main(folder: Path, ort: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_models(folder)
    cases = [write_case(folder, name) for name in CASES]
    asked = {"seed": str(SEED), "first": str(FIRST), "count": COUNT, "batch": 2}
    (folder / "cases.json").write_text(json.dumps(asked | {"cases": cases}))
    if ort is not None:
        write_sites(folder, ort)
    (folder / "signatures.json").write_text(json.dumps(write_signatures(folder)))
    (folder / "texts.json").write_text(json.dumps(verdicts()))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
