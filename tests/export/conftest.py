"""Shared fixtures of the exporter's tests: networks that are exported once."""

import dataclasses
from pathlib import Path

import onnx
import pytest
from tiny_unet import DIGITS, tiny_card, tiny_unet

from ddpm_export.graph.precision import set_precision
from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_ref.recipe import load_preset
from ddpm_rt.artifacts.card import METADATA_KEY

EXPORTS = {"exported", "network", "digits", "photos"}  # fixtures that export a network, which takes seconds


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` chooses
def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and EXPORTS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def exported(shared):
    """The path of the tiny network in a precision, with or without hoisted time. Each file is made once."""

    def export(precision, hoist):
        def make(folder):
            options = {"precision": precision, "hoist": hoist, "threads": 1}
            export_onnx(tiny_unet(), tiny_card(), folder / "unet.onnx", ExportOptions(**options))

        return shared.folder(f"tiny-{precision}{'-hoisted' if hoist else ''}", make) / "unet.onnx"

    return export


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
    """The network of the preset cifar10."""
    return shared.folder("photos", lambda folder: in_each_precision(folder, load_preset("cifar10").model))
