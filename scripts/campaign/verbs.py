"""The verbs that write files, on tiny models: their command lines, and a check of their outputs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

FACTS = ("--betas", "linear:40:1e-3:0.3", "--prediction", "eps", "--variance", "fixed_small", "--clip", "-1,1")
DRAW = ("--engine", "model.onnx", "--threads", "1", "--quiet")
LITTLE = ("--sampler", "ddim", "--steps", "5", "--threads", "1")
FIT = ("--calls", "3", "--samples", "8", "--held-out", "8", "--teacher-calls", "8", "--threads", "1", "--quiet")
RTX = ("--flavour", "rtx", "--batch", "1", "--compute-capability", "8.9")  # builds without a GPU
SHARE = 20
LOCKS = ".lock"


@dataclass(frozen=True)
class Verb:
    """One command. `out` is the file or folder that it writes; `check` raises if this output is damaged."""

    name: str
    arguments: tuple[str, ...]
    out: str
    check: Callable[[Path], object]
    repeatable: bool = True  # the same command gives the same bytes
    slow: bool = False  # imports PyTorch


def whole_picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.verify()
    with Image.open(path) as picture:
        picture.load()


def whole_folder(path: Path) -> None:
    for file in path.glob("[!.]*.png"):  # a killed process may leave its temporary file until the next one sweeps it
        whole_picture(file)


def whole_json(path: Path) -> None:
    json.loads(path.read_text())


def whole_page(path: Path) -> None:
    assert path.read_text().rstrip().endswith("</html>")


def whole_model(path: Path) -> None:
    import onnx

    onnx.checker.check_model(onnx.load(path))


def whole_plan(path: Path) -> None:
    """The plan and its record belong together."""
    from ddpm_rt.artifacts.plan_record import read_plan

    read_plan(path)


def whole_run(path: Path) -> None:
    """Check the state and the checkpoint, if they exist: each is replaced atomically."""
    import torch

    from ddpm_ref.checkpoint import load_checkpoint

    if (path / "training_state.pt").exists():
        assert torch.load(path / "training_state.pt", weights_only=True)["step"] > 0
        load_checkpoint(path)


def _sample(out: str, check: Callable[[Path], object], *more: str) -> Verb:
    return Verb(f"sample {out}", ("sample", *DRAW, "--out", out, *more), out, check)


VERBS = (
    _sample("x.npy", np.load, "--count", "400", "--steps", "4"),
    _sample("x.png", whole_picture, "--count", "400", "--steps", "4"),
    _sample("x.gif", whole_picture, "--count", "60", "--steps", "20"),
    _sample("folder", whole_folder, "--count", "60", "--steps", "4", "--batch", "8"),
    Verb(
        "interpolate",
        ("interpolate", *DRAW, "--from", "0", "--to", "3", "--steps", "4", "--out", "x.webp"),
        "x.webp",
        whole_picture,
    ),
    Verb("invert", ("invert", "digit.npy", *DRAW, "--steps", "4", "-o", "z.npy"), "z.npy", np.load),
    Verb("steps", ("steps", "model.onnx", "--steps", "10", "-o", "x.steps.json"), "x.steps.json", whole_json),
    *(
        Verb(f"verify {name}", ("verify", "model.onnx", "--engine-b", "other.onnx", *LITTLE, option, name), name, check)
        for option, name, check in (
            ("--json", "x.json", whole_json),
            ("--png", "x.png", whole_picture),
            ("--out", "x.html", whole_page),
        )
    ),
    Verb("tune -o", ("tune", "model.onnx", *FIT, "-o", "t.steps.json"), "t.steps.json", whole_json),
    Verb("tune --embed", ("tune", "other.onnx", *FIT, "--embed"), "other.onnx", whole_model, repeatable=False),
    Verb("card", ("card", "model.onnx", "-o", "carded.onnx", *FACTS), "carded.onnx", whole_model),
    *(
        [
            Verb(
                "build",
                ("build", "model.onnx", "-o", "unet.plan", *RTX, "--quiet"),
                "unet.plan",
                whole_plan,
                repeatable=False,  # TensorRT does not promise equal bytes
            )
        ]
        if find_spec("tensorrt_rtx")
        else []
    ),
    Verb("export", ("export", "run", "-o", "unet.onnx", "--threads", "1"), "unet.onnx", whole_model, slow=True),
    Verb(
        "train",
        ("train", "--config", "recipe.toml", "--data", "data.npz", "--out", "trained", "--cpu", "--quiet"),
        "trained",
        whole_run,
        repeatable=False,  # the curve contains times
        slow=True,
    ),
)


def in_turn(number: int, *, slow: bool) -> Verb:
    """The verb of trial `number`. With `slow`, one trial in twenty uses a verb that imports PyTorch."""
    quick, late = ([verb for verb in VERBS if verb.slow == is_slow] for is_slow in (False, True))
    if slow and number % SHARE == SHARE - 1:
        return late[number // SHARE % len(late)]
    return quick[number % len(quick)]


def leftovers(folder: Path) -> list[str]:
    """Unexpected files in `folder`. Lock files are allowed, because a kill leaves them."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob(".*") if path.is_file() and not path.name.endswith(LOCKS)
    )


def content(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of the files of a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.exists()}
