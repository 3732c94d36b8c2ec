"""Convert a float32 export to another precision with the exporter's passes, without the comparison with PyTorch.

python scripts/typed_model.py unet.onnx --precision fp16 --out unet.fp16.onnx
"""

import argparse
import dataclasses
from pathlib import Path

import onnx

from ddpm_export.graph.precision import set_precision
from ddpm_export.graph.simplify import drop_unused
from ddpm_export.graph.time_branch import hoist_time
from ddpm_export.plans.build import read_source
from ddpm_rt.artifacts.card import METADATA_KEY


def typed(source, precision, *, hoist):
    """The float32 model at `source`, converted to `precision`, with its card."""
    card, model = read_source(source)[0], onnx.load(source)
    if hoist:
        hoist_time(model, card.names["t"], len(card.betas))
        drop_unused(model)
    set_precision(model, precision, keep=(card.names["t"],))
    onnx.helper.set_model_props(model, {METADATA_KEY: dataclasses.replace(card, precision=precision).to_json()})
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--precision", choices=["fp16", "bf16"], default="fp16")
    parser.add_argument("--no-hoist-time", dest="hoist", action="store_false")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    onnx.save(typed(asked.source, asked.precision, hoist=asked.hoist), asked.out)


if __name__ == "__main__":
    main()
