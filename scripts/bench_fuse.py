"""Time a fused chain against the loop of Python, interleaved in one process, and show that its memory is flat.

    python scripts/bench_fuse.py unet.onnx --sampler ddpm --steps 50 --batch 1 --batch 16

Prints the time of a step of both, their ratio, and how much the resident memory grows over a chain and over one of
four times as many steps.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ddpm_export.fuse.fuse import fuse
from ddpm_rt import Request
from ddpm_rt.engines.cpu_threads import default_threads
from ddpm_rt.engines.fused import FusedRunner
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions

LONGER = 4


def timed(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare(engine, runner, request, labels, steps: int, repeats: int) -> str:
    fused, loop = [], []

    def by_graph():
        return runner(request.seed, request.samples, labels)

    def by_loop():
        return request.drawn(engine)

    off = float(np.abs(by_graph() - by_loop()).max())
    for _ in range(repeats):
        fused.append(timed(by_graph))
        loop.append(timed(by_loop))
    each = [1000 * statistics.median(times) / steps for times in (fused, loop)]
    ratio = statistics.median(a / b for a, b in zip(fused, loop, strict=True))
    return f"fused {each[0]:.2f} ms a step, loop {each[1]:.2f}, ratio {ratio:.4f}, images within {off:.1e}"


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=bundled_model())
    parser.add_argument("--sampler", default="ddpm")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, action="append", help="several times for several batches; 1 and 16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=default_threads())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, OrtDenoiser(asked.model, threads=asked.threads) as engine:
        chain = Path(folder) / "chain.onnx"
        label = None if engine.card.classes is None else 0
        sampler = SamplerOptions(sampler=asked.sampler, steps=asked.steps).compile(engine.card)
        fuse(asked.model, sampler, chain, threads=asked.threads)
        runner = FusedRunner(chain, threads=asked.threads)
        for batch in asked.batch or (1, 16):
            request = Request(count=batch, batch=batch, compiled=sampler, label=label)
            labels = request.bind(engine.card).labels(request.samples)
            said = compare(engine, runner, request, labels, asked.steps, asked.repeats)
            print(f"{asked.model.stem}, {asked.sampler}, {asked.steps} steps, batch {batch}: {said}", flush=True)
        before = peak_mib()
        longer = SamplerOptions(sampler=asked.sampler, steps=LONGER * asked.steps).compile(engine.card)
        fuse(asked.model, longer, chain, threads=asked.threads)
        FusedRunner(chain, threads=asked.threads)(0, request.samples, labels)
        print(f"peak memory {before:.0f} MiB, and {peak_mib():.0f} MiB after a chain of {LONGER} times as many steps")


if __name__ == "__main__":
    main()
