"""Compare the images of ddpm-rt-cpp with Python's: small models of every kind, and two chains on the bundled one.

    python scripts/cpp_compare.py BIN FILES FOLDER [MODEL]

BIN is ddpm-rt-cpp, FILES the folder that scripts/cpp_files.py wrote, FOLDER the folder for the output, and MODEL
replaces the bundled model. Exits with 1 when an image differs from Python's by more than TOLERANCE: both call the same
kernels, and the arithmetic of the loops is equal to the bit.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ddpm_rt
from ddpm_rt.api import open_denoiser
from ddpm_rt.artifacts.steps_file import read_steps, write_steps
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.edit import Edit
from ddpm_rt.requests.inversion import FromNoise
from ddpm_rt.requests.request import extended
from ddpm_rt.requests.sampler_options import SamplerOptions

TOLERANCE = 1e-5
SMALL = ("ddpm", "ddim", "dpm", "dpmsde", "lcm")
BUNDLED = {"ddpm": 1000, "ddim": 50}
SMALL_REQUEST = {"seed": 7, "first": (1 << 32) - 2, "count": 5, "batch": 3}
# model, steps file, other options; the values of inputs are numbers and files of FILES
OTHER_KINDS = [
    ("sequence", "sequence-ddpm", {"input": {"low_res": "sequence.npy"}}),
    ("sequence", "sequence-ddim", {"input": {"low_res": "fortran.npy"}}),
    ("fixed_sequence", "sequence-ddpm", {"input": {"low_res": "sequence.npy"}}),
    ("volume", "volume-ddpm", {"input": {"low_res": "volume.npy"}}),
    ("volume", "volume-ddim", {"input": {"low_res": 0.5}, "null-input": {"low_res": -0.25}, "guidance": 1.5}),
    ("image", "image-ddpm", {"input": {"low_res": "image.npy"}, "null-input": {"low_res": 0}, "guidance": 3}),
    *[
        (f"sigma-{kind}", f"sigma-{kind}-{sampler}", {"input": {"difficulty": "difficulty.npy"}})
        for kind in ("float32", "int64", "int32")
        for sampler in ("dpm", "euler-a", "consistency")
    ],
    ("edm", "edm", {"input": {"difficulty": 3}}),
    ("flow", "flow", {"input": {"difficulty": 3}}),
    ("fractional", "fractional", {}),
    ("latents", "latents", {}),
]
LEVEL = {"input": {"difficulty": 3}}
# the same of edits, with the initial state
EDITS = [
    ("gaussian", "ddpm", {}, {"init-image": "start-image.npy", "strength": 0.4}),
    ("gaussian", "dpm", {}, {"init-image": "start-image.npy", "strength": 0.35}),
    ("gaussian", "ddpm", {}, {"init-image": "start-image.npy", "mask": "mask-image.npy"}),
    ("gaussian", "ddpm", {}, {"init-image": "start-image.npy", "mask": "mask-image.npy", "resample": 3}),
    ("gaussian", "ddim", {}, {"init-noise": "noise-image.npy"}),
    ("classes", "classes", {"guidance": 2}, {"init-image": "start-image.npy"}),
    (
        "sequence", "sequence-ddpm", {"input": {"low_res": 0.5}},
        {"init-image": "start-sequence.npy", "mask": "mask-sequence.npy", "strength": 0.7, "resample": 2},
    ),
    ("fractional", "fractional", {}, {"init-image": "start-image.npy", "strength": 0.6}),
    ("sigma-float32", "sigma-float32-euler-a", LEVEL, {"init-image": "start-sigma.npy"}),
    ("sigma-float32", "sigma-float32-euler-a", LEVEL,
     {"init-image": "start-sigma.npy", "mask": "mask-sigma.npy", "resample": 2}),
    ("sigma-float32", "sigma-float32-consistency", LEVEL, {"init-noise": "noise-sigma.npy"}),
    ("edm", "edm", LEVEL, {"init-image": "start-sigma.npy", "mask": "mask-sigma.npy", "strength": 0.8}),
    ("flow", "flow", LEVEL, {"init-image": "start-sigma.npy", "mask": "mask-sigma.npy", "strength": 0.8}),
]  # fmt: skip

Options = dict[str, Any]  # name of an option to its value, or of a named input to its value


def compare(
    program: Path, engine: Path, steps: Path | None, out: Path, options: Options, start: Options | None = None
) -> bool:
    """Draw the same images with both, and print the largest difference and the overhead of the loop.

    Without steps both take the fitted table in the model.
    """
    words = words_of(options | (start or {}), engine.parent)
    table = [] if steps is None else ["--steps-file", steps]
    command = [program, engine, *table, "--threads", "1", "--quiet", "--out", out, *words]
    said = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stderr
    images = drawn_by_python(engine, steps, arguments_of(options, engine.parent), start or {})
    drawn = np.load(out)
    furthest = float(np.abs(drawn - images).max()) if drawn.shape == images.shape else float("inf")
    whole, network = map(float, re.findall(r"(\d+\.\d+) s", said))
    cost = f"; whole chain / network {whole / network:.3f}" if network > 0.1 else ""  # else too short to time
    edit = f" with {', '.join(start)}" if start else ""
    name = "fitted" if steps is None else steps.name
    print(f"{engine.stem} {name} {list(drawn.shape)}{edit}: {furthest:.1e} from Python{cost}")
    return furthest <= TOLERANCE


def drawn_by_python(engine: Path, steps: Path | None, arguments: Options, start: Options) -> Any:
    if steps is None:
        return ddpm_rt.sample(engine, sampler="fitted", threads=1, **arguments)
    if not start:
        return ddpm_rt.sample(engine, steps_file=steps, threads=1, **arguments)
    given = {key: np.load(engine.parent / value) if isinstance(value, str) else value for key, value in start.items()}
    with open_denoiser(engine, threads=1) as opened:
        request = ddpm_rt.Request(compiled=read_steps(steps, opened.card), **arguments)
        if "init-noise" in given:
            return extended(FromNoise, request, noise=given["init-noise"]).drawn(opened)
        images = given.pop("init-image")
        default = {"strength": 1.0} if "mask" in given else {}
        return extended(Edit, request, images=images, **default | given).drawn(opened)


def words_of(options: Options, folder: Path) -> Iterator[str]:
    """The options as words of a command line; files of inputs are in `folder`."""
    for key, value in options.items():
        values = value.items() if isinstance(value, dict) else [(None, value)]
        for name, one in values:
            text = folder / one if isinstance(one, str) else one  # a file
            yield from (f"--{key}", str(text) if name is None else f"{name}={text}")


def arguments_of(options: Options, folder: Path) -> Options:
    """The same for Python."""
    given = dict(options)
    for key, name in (("input", "inputs"), ("null-input", "null_inputs")):
        values = given.pop(key, {})
        given[name] = {key: np.load(folder / one) if isinstance(one, str) else one for key, one in values.items()}
    return given


def main(program: Path, files: Path, folder: Path, model: Path | None = None) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "images.npy"
    cases = [("gaussian", name, {}) for name in SMALL] + OTHER_KINDS
    fine = [
        compare(program, files / f"{model}.onnx", files / f"{steps}.steps.json", out, SMALL_REQUEST | options)
        for model, steps, options in cases
    ]
    fine += [
        compare(program, files / f"{model}.onnx", files / f"{steps}.steps.json", out, SMALL_REQUEST | options, start)
        for model, steps, options, start in EDITS
    ]
    guided = {"label": 1, "guidance": 2}
    fine.append(compare(program, files / "classes.onnx", files / "classes.steps.json", out, guided))
    fine.append(compare(program, files / "classes.onnx", files / "classes.steps.json", out, {"first": 1, "count": 5}))
    fine.append(compare(program, files / "tuned.onnx", None, out, SMALL_REQUEST))
    try:
        model = model or bundled_model()
    except ddpm_rt.DdpmRtError as error:
        print(f"the bundled model was not compared: {error}")
        return not all(fine)
    card = open_denoiser(model).card
    for sampler, count in BUNDLED.items():
        steps = folder / f"{sampler}.steps.json"
        write_steps(steps, SamplerOptions(sampler=sampler, steps=count).compile(card), card)
        fine.append(compare(program, model, steps, out, {"seed": 7, "count": 1, "batch": 1}))
    return not all(fine)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
