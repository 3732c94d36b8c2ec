"""Measure sizes and build times of real TensorRT-RTX plans, built on this machine with or without a GPU.

    python scripts/build_table.py --preset mnist --preset cifar10

The networks of the presets have random weights: the time of a build and the size of a plan do not depend on the values.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from tiny_unet import tiny_card, tiny_unet
from typed_model import typed

from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions, parse_batch
from ddpm_ref.recipe import load_preset

PLANS = (("1", ()), ("1", ("8.9",)), ("1,16", ("8.6", "8.9", "12.0")), ("1:8:64", ("8.9",)))


def rows(preset, folder, hoist):
    config = load_preset(preset).model
    source = folder / f"{preset}.fp32.onnx"
    export_onnx(tiny_unet(config=config), tiny_card(config), source, ExportOptions(hoist=hoist))
    for precision in ("fp32", "fp16", "bf16"):
        path = folder / f"{preset}.{precision}.onnx"
        if precision != "fp32":
            onnx.save(typed(source, precision, hoist=False), path)
        for batch, capabilities in PLANS:
            started = time.perf_counter()
            options = BuildOptions(parse_batch(batch), capabilities)
            record, _ = build_plan(path, folder / "unet.plan", options, flavour="rtx", force=True)
            seconds = time.perf_counter() - started
            onnx_size, size = path.stat().st_size / 1e6, record.bytes / 1e6
            where = ", ".join(record.build.compute_capabilities)
            yield f"| {preset} | {precision} | {onnx_size:.1f} | {where} | {batch} | {size:.1f} | {seconds:.1f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", action="append", help="mnist, cifar10; may be given more than once")
    parser.add_argument("--no-hoist-time", dest="hoist", action="store_false")
    asked = parser.parse_args()
    print("| network | precision | ONNX, MB | compute capability | batch | plan, MB | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for preset in asked.preset or ["mnist"]:
            for row in rows(preset, Path(folder), asked.hoist):
                print(row, flush=True)


if __name__ == "__main__":
    main()
