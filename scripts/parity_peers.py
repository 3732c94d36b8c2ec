"""Compare chains of exported files with the sampling loops of other projects, at every step, with shared noise.

    python scripts/parity_peers.py [WORD ...]

Each kind of model gets random weights, is exported to ONNX, and is sampled by `ddpm_rt` on ONNX Runtime and by the
project's own network and loop in PyTorch. Printed is the largest difference of x after every step, where x is in the
project's own scale. Only kinds whose name has every WORD are run. Exit code 1: a difference is above its tolerance.

It needs denoising-diffusion-pytorch, diffusers, monai and lerobot; `pip install --no-deps` is enough, with einops,
ema-pytorch and scipy.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from peers import diffusers_kinds, lucidrains, monai_kinds, policies
from peers.kind import Kind
from peers.shared_noise import COUNT, SEED

import ddpm_rt
from ddpm_export.onnx_export import export_onnx
from ddpm_rt import Request
from ddpm_rt.requests.edit import states_of

KINDS = {**lucidrains.KINDS, **diffusers_kinds.KINDS, **monai_kinds.KINDS, **policies.KINDS}


def ours(kind: Kind, path: Path) -> Iterator[np.ndarray]:
    """x after every step of the exported file, in the scale of its process."""
    with ddpm_rt.open_denoiser(path, provider="cpu") as engine:
        request = Request(seed=SEED, count=COUNT, batch=COUNT, inputs=kind.inputs, **kind.request)
        bound = request.bind(engine.card)
        alpha_bar, scale = states_of(engine.card, bound.table)
        is_sigma = engine.card.process is not None and engine.card.process.kind == "sigma"
        own = scale * np.sqrt(alpha_bar) if is_sigma else np.ones_like(scale)
        for step in bound.trajectory(engine, request.samples):
            yield step.x.astype(np.float64) / own[step.row + 1]


def differences(kind: Kind) -> list[float]:
    """The largest difference after each step. Raises ValueError where one of the two takes more steps."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(False), torch.no_grad():
        path = Path(folder) / "model.onnx"
        export_onnx(*kind.adapted, path)
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            theirs = [x.double().numpy() for x in kind.loop()]
        return [float(np.abs(a - b).max()) for a, b in zip(ours(kind, path), theirs, strict=True)]


def main(words: list[str]) -> bool:
    wrong = False
    for name, make in KINDS.items():
        if not all(word.lower() in name.lower() for word in words):
            continue
        kind = make()
        found = differences(kind)
        above = not max(found) <= kind.tolerance
        wrong |= above
        reason = f" ({kind.reason})" if kind.reason else ""
        verdict = f"ABOVE {kind.tolerance:g}" if above else f"within {kind.tolerance:g}"
        print(f"{name}\n  largest {max(found):.2e}, {verdict}{reason}")
        print("  each step " + " ".join(f"{value:.1e}" for value in found), flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
