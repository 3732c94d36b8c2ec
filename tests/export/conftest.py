"""Shared fixtures of the exporter's tests: networks that are exported once."""

from pathlib import Path

import pytest
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.onnx_export import ExportOptions, export_onnx

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
