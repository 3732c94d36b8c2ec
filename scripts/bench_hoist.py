"""Measure the time that a precomputed time embedding saves on this CPU: two exports of one model, in turn.

python scripts/bench_hoist.py plain.onnx hoisted.onnx --rounds 40
"""

import argparse
import time
from pathlib import Path

import numpy as np

from ddpm_rt import open_denoiser


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs=2, type=Path, metavar="ONNX")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=3, help="of each model a round")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    engines = [open_denoiser(path, threads=asked.threads) for path in asked.models]
    x = np.random.default_rng(0).standard_normal((1, *engines[0].card.image_shape)).astype(np.float32)
    times = [[], []]
    for turn in range(asked.rounds + 1):
        for index, engine in enumerate(engines):
            started = time.perf_counter()
            for _ in range(asked.calls):
                engine(x, np.array([turn]))
            times[index].append((time.perf_counter() - started) / asked.calls)
    plain, hoisted = (np.array(series[1:]) * 1e3 for series in times)  # the first round warms up
    ratio = np.median(hoisted / plain)
    for name, series, path in (("plain", plain, asked.models[0]), ("hoisted", hoisted, asked.models[1])):
        size = path.stat().st_size / 1e6
        print(f"{name:8} {np.median(series):8.3f} ms a step, best {series.min():8.3f}, {size:.2f} MB")
    print(f"ratio    {ratio:8.3f} (median of rounds)")


if __name__ == "__main__":
    main()
