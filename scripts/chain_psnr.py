"""How far whole chains in float16 and bfloat16 end from float32's, with the same noise.

    python scripts/chain_psnr.py unet.onnx --steps 50 --count 16

Each result is rounded to its type, as on a GPU that accumulates in float32 (`ddpm_export/typed_parity.py`).
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import ddpm_rt
from ddpm_export.precision import set_precision
from ddpm_export.time_branch import hoist_time
from ddpm_export.typed_parity import rounded


class Rounded:
    """A denoiser that rounds as `precision` does."""

    def __init__(self, path, card, precision, threads):
        model, options = onnx.load(path), onnxruntime.SessionOptions()
        hoist_time(model, card.names["t"], len(card.betas))
        set_precision(model, precision, keep=(card.names["t"],))
        options.log_severity_level, options.intra_op_num_threads = 4, threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = rounded(model).SerializeToString()
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.card = card

    def __call__(self, x, t):
        return self.session.run(["out"], {"x": x, "t": t})[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="an export in fp32 without hoisted time")
    parser.add_argument("--precision", action="append", choices=["fp16", "bf16"])
    parser.add_argument("--sampler", choices=["ddim", "ddpm"], default="ddim")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    chain = {"sampler": asked.sampler, "steps": asked.steps, "count": asked.count, "batch": asked.count}
    exact = ddpm_rt.open_denoiser(asked.model, threads=asked.threads)
    expected = ddpm_rt.sample(exact, **chain)
    for precision in asked.precision or ["fp16", "bf16"]:
        found = ddpm_rt.sample(Rounded(asked.model, exact.card, precision, asked.threads), **chain)
        off = found - expected
        each = 10 * np.log10(4.0 / np.mean(off**2, axis=(1, 2, 3)))  # of the range [-1, 1]
        psnr = 10 * np.log10(4.0 / np.mean(off**2))
        what = f"{asked.sampler} {asked.steps} {precision}"
        print(
            f"{what}: PSNR {psnr:.1f} dB, worst image {each.min():.1f} dB, largest difference {np.abs(off).max():.3f}"
        )


if __name__ == "__main__":
    main()
