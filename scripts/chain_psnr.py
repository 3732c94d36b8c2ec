"""Measure the PSNR of whole chains in float16 and bfloat16 against float32 with the same noise.

    python scripts/chain_psnr.py unet.onnx --steps 50 --count 16

Every result is rounded to its type, as on a GPU that accumulates in float32 (`ddpm_export/graph/typed_parity.py`).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
from typed_model import typed

import ddpm_rt
from ddpm_export.graph.typed_parity import rounded


class Rounded:
    """A denoiser in float32 that rounds every result to `precision`."""

    def __init__(self, path, card, precision, threads):
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = rounded(typed(path, precision, hoist=True)).SerializeToString()
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
    parser.add_argument("--json", type=Path, help="append the figures to this file, one per line")
    asked = parser.parse_args()
    chain = {"sampler": asked.sampler, "steps": asked.steps, "count": asked.count, "batch": asked.count}
    exact = ddpm_rt.open_denoiser(asked.model, threads=asked.threads)
    expected = ddpm_rt.sample(exact, **chain)
    for precision in asked.precision or ["fp16", "bf16"]:
        started = time.perf_counter()
        found = ddpm_rt.sample(Rounded(asked.model, exact.card, precision, asked.threads), **chain)
        row = {"model": exact.card.provenance.source, "precision": precision, **chain, **difference(found, expected)}
        row["seconds"] = round(time.perf_counter() - started)
        print(
            f"{row['model']}, {asked.sampler} {asked.steps}, {asked.count} image(s), {precision}: "
            f"PSNR {row['psnr']:.1f} dB, worst image {row['worst_psnr']:.1f} dB, of the {row['inside']:.0%} of pixels "
            f"inside (-1, 1) {row['inside_psnr']:.1f} dB, largest difference {row['largest_difference']:.3f}",
            flush=True,
        )
        if asked.json:
            with asked.json.open("a") as file:
                print(json.dumps(row), file=file)


def difference(found, expected):
    """PSNR of all images, of the worst image, and of the pixels inside (-1, 1): at the ends, clipping hides errors."""
    squares = (found - expected).astype(np.float64) ** 2
    inside = np.abs(expected) < 0.999
    means = {
        "psnr": squares.mean(),
        "worst_psnr": squares.mean(axis=(1, 2, 3)).max(),
        "inside_psnr": squares[inside].mean(),
    }
    figures = {name: round(float(10 * np.log10(4.0 / mean)), 2) for name, mean in means.items()}
    largest = round(float(np.sqrt(squares.max())), 4)
    return {**figures, "inside": round(float(inside.mean()), 4), "largest_difference": largest}


if __name__ == "__main__":
    main()
