"""Sizes and build times of real TensorRT-RTX plans, made on this machine, with or without a GPU.

    python scripts/build_table.py --preset mnist --preset cifar10

Random weights of a preset's network; a build's time and a plan's size do not depend on their values.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tiny_unet import tiny_card, tiny_unet

from ddpm_export.build_options import BuildOptions, parse_batch
from ddpm_export.onnx_export import export_onnx
from ddpm_export.plan_file import build_plan
from ddpm_export.precision import set_precision
from ddpm_ref.recipe import load_preset
from ddpm_rt.card import METADATA_KEY

PLANS = (("1", ()), ("1", ("8.9",)), ("1,16", ("8.6", "8.9", "12.0")), ("1:8:64", ("8.9",)))


def typed(source, card, precision, out):
    """The model at `source`, float32, in another precision; not compared, only the types matter here."""
    model = onnx.load(source)
    set_precision(model, precision, keep=("t",))
    onnx.helper.set_model_props(model, {METADATA_KEY: dataclasses.replace(card, precision=precision).to_json()})
    onnx.save(model, out)
    return out


def rows(preset, folder, hoist):
    config = load_preset(preset).model
    source = folder / f"{preset}.fp32.onnx"
    card = export_onnx(tiny_unet(config=config), tiny_card(config), source, hoist=hoist)
    for precision in ("fp32", "fp16", "bf16"):
        path = source if precision == "fp32" else typed(source, card, precision, folder / f"{preset}.{precision}.onnx")
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
