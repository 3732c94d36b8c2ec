"""Compare chains of exported files with the sampling loops of other projects, at every step, with shared noise.

    python scripts/parity_peers.py [--quick] [WORD ...]

Each kind of model gets random weights, is exported to ONNX, and is sampled by `ddpm_rt` on ONNX Runtime and by the
project's own network and loop in PyTorch. Printed is the largest difference of x after every step, where x is in the
project's own scale. A kind that is a checkpoint is exported by the command line, and where its pipeline makes pictures,
`ddpm-rt sample` makes them too. Only kinds whose name has every WORD are run. `--quick` samples the adapted module in
PyTorch and skips the export, and with it such kinds. Exit code 1: a difference is above its tolerance, or a kind
failed.

It needs denoising-diffusion-pytorch, diffusers, monai and lerobot; `pip install --no-deps` is enough, with einops,
ema-pytorch, scipy, and draccus and what it needs.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from click.testing import CliRunner
from peers import diffusers_kinds, latents, lucidrains, monai_kinds, policies
from peers.kind import Kind
from peers.shared_noise import COUNT, SEED
from PIL import Image

import ddpm_rt
from ddpm_export.onnx_export import export_onnx
from ddpm_rt import Request
from ddpm_rt.cli import main as program
from ddpm_rt.engine import Engine, as_engine
from ddpm_rt.requests.edit import states_of

QUICK = "--quick"
PROJECTS = ("denoising-diffusion-pytorch", "diffusers", "monai", "lerobot")
KINDS = {**lucidrains.KINDS, **diffusers_kinds.KINDS, **latents.KINDS, **monai_kinds.KINDS, **policies.KINDS}


def ours(kind: Kind, engine: Engine) -> Iterator[np.ndarray]:
    """x after every step, in the scale of its process."""
    request = Request(seed=SEED, count=COUNT, batch=COUNT, inputs=kind.inputs, **kind.request)
    bound = request.bind(engine.card)
    alpha_bar, scale = states_of(engine.card, bound.table)
    is_sigma = engine.card.process is not None and engine.card.process.kind == "sigma"
    own = scale * np.sqrt(alpha_bar) if is_sigma else np.ones_like(scale)
    for step in bound.trajectory(engine, request.samples):
        yield step.x.astype(np.float64) / own[step.row + 1]


def in_pytorch(kind: Kind) -> Engine:
    """The adapted module as an engine, which shows a wrong card or table without the time of an export."""
    module, card = kind.adapted

    def denoise(x, t, y=None, inputs=None):
        given = [x, t.astype(np.int64 if card.process is None else np.float32)]
        given += [] if y is None else [y]
        given += [] if inputs is None else [inputs[name] for name in card.inputs]
        return module(*map(torch.from_numpy, given)).numpy()

    denoise.card = card
    return as_engine(denoise)


def run(*words: str) -> None:
    """`ddpm-rt WORDS`. Raises RuntimeError when it fails."""
    result = CliRunner().invoke(program, list(words))
    if result.exit_code:
        raise RuntimeError(result.output)


def exported(kind: Kind, path: Path) -> None:
    if kind.checkpoint is None:
        export_onnx(*kind.adapted, path)
    else:
        run("export", *kind.checkpoint(path.parent), "-o", str(path))


def differences(kind: Kind, path: Path, *, export: bool) -> list[float]:
    """The largest difference after each step. Raises ValueError where one of the two takes more steps."""
    if export:
        exported(kind, path)
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        theirs = [x.double().numpy() for x in kind.loop()]
    with ddpm_rt.open_denoiser(path, provider="cpu") if export else in_pytorch(kind) as engine:
        return [float(np.abs(a - b).max()) for a, b in zip(ours(kind, engine), theirs, strict=True)]


def of_pictures(kind: Kind, path: Path) -> str:
    """How far the pictures of `ddpm-rt sample` are from those of the project's own pipeline, in words."""
    options = [word for key, value in kind.request.items() for word in (f"--{key}", str(value))]
    folder = path.with_suffix("")
    run("sample", str(path), *options, "--seed", str(SEED), "--count", str(COUNT), "--out", str(folder))
    with contextlib.redirect_stderr(io.StringIO()):
        theirs = kind.pictures()
    found = np.stack([np.asarray(Image.open(folder / f"{sample:06d}.png"), np.int64) for sample in range(COUNT)])
    apart = np.abs(found - theirs)
    size = " x ".join(map(str, theirs.shape[1:3]))
    return f"  pictures {size}: of {apart.size} bytes, {(apart > 0).sum()} differ, {(apart > 1).sum()} by more than 1"


def heading(*, export: bool) -> str:
    def versions(names: tuple[str, ...]) -> str:
        return ", ".join(f"{name} {version(name)}" for name in names)

    how = "the exported file in ONNX Runtime" if export else "the adapted module in PyTorch, without the export"
    return (
        "Largest difference of x between the project's own loop in PyTorch and ddpm_rt, with shared noise,\n"
        f"{COUNT} samples, random weights: {how}. {date.today()}\n"
        f"{versions(PROJECTS)}; {versions(('torch', 'onnxruntime'))}\n"
    )


def main(words: list[str]) -> bool:
    wrong, export = False, QUICK not in words
    words = [word for word in words if word != QUICK]
    print(heading(export=export))
    for name, make in KINDS.items():
        if not all(word.lower() in name.lower() for word in words):
            continue
        try:
            kind = make()
            if kind.adapted is None and not export:
                continue
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                path = Path(folder) / "model.onnx"
                found = differences(kind, path, export=export)
                pictures = of_pictures(kind, path) if kind.pictures is not None else ""
        except Exception as error:  # one project must not hide the others
            print(f"{name}\n  FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
            wrong = True
            continue
        above = not max(found) <= kind.tolerance
        wrong |= above
        reason = f" ({kind.reason})" if kind.reason else ""
        verdict = f"ABOVE {kind.tolerance:g}" if above else f"within {kind.tolerance:g}"
        print(f"{name}\n  largest {max(found):.2e}, {verdict}{reason}")
        print("  each step " + " ".join(f"{value:.1e}" for value in found), flush=True)
        if pictures:
            print(pictures, flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
