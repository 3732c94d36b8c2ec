"""Compare a program that runs a fused chain with the loop of Python, on the bundled model:

    python scripts/fused_compare.py FOLDER PROGRAM...

PROGRAM is called with `chain.onnx SEED FIRST COUNT images.f32 CLASSES`, as runtime/cpp/examples/fused.c is.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from ddpm_export.fuse.fuse import fuse
from ddpm_rt import Request
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions

CLASSES = "10"  # of the bundled model, without the null class
SEED, FIRST, COUNT, STEPS = (1 << 64) - 5, (1 << 64) - 3, 3, 8
TOLERANCE = 1e-5  # another release of ONNX Runtime may sum in another order


def main(folder: Path, *program: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    chain, out = folder / "chain.onnx", folder / "images.f32"
    with OrtDenoiser(bundled_model()) as engine:
        sampler = SamplerOptions(sampler="dpm++", spacing="logsnr", steps=STEPS).compile(engine.card)
        expected = Request(seed=SEED, first=FIRST, count=COUNT, compiled=sampler).drawn(engine)
    fuse(bundled_model(), sampler, chain)
    subprocess.run([*program, chain, str(SEED), str(FIRST), str(COUNT), out, CLASSES], check=True)
    found = np.fromfile(out, "<f4").reshape(expected.shape)
    off = float(np.abs(found - expected).max())
    print(f"{Path(program[-1]).name}: images within {off:.1e} of Python's")
    return 0 if off <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
