"""Exported networks for builds, and a plan."""

import dataclasses

import onnx
import pytest
from tiny_unet import DIGITS, tiny_card, tiny_unet

from ddpm_export.graph.precision import set_precision
from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions
from ddpm_ref.recipe import load_preset
from ddpm_rt.artifacts.card import METADATA_KEY


@pytest.fixture(scope="session")
def tiny(exported):
    return exported("fp32", hoist=False)


@pytest.fixture(scope="session")
def built(tiny, shared):
    """A plan of two static batches for all GPUs that TensorRT-RTX supports."""
    folder = shared.folder("tiny-plan", lambda folder: build_plan(tiny, folder / "unet.plan", BuildOptions()))
    return folder / "unet.plan"


def in_each_precision(folder, config):
    """A network with random weights in every precision. The graph is traced once and converted to each type."""
    export_onnx(tiny_unet(config=config), tiny_card(config), folder / "fp32.onnx", ExportOptions(hoist=True, threads=1))
    for precision in ("fp16", "bf16"):
        model = onnx.load(folder / "fp32.onnx")
        set_precision(model, precision, keep=("t",))
        card = dataclasses.replace(tiny_card(config), precision=precision)
        onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
        onnx.save(model, folder / f"{precision}.onnx")


@pytest.fixture(scope="session")
def digits(shared):
    return shared.folder("digits", lambda folder: in_each_precision(folder, DIGITS))


@pytest.fixture(scope="session")
def photos(shared):
    return shared.folder("photos", lambda folder: in_each_precision(folder, load_preset("cifar10").model))
