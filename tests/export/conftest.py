"""Shared fixtures of the exporter's tests: networks that are exported once."""

import pytest
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.onnx_export import ExportOptions, export_onnx


@pytest.fixture(scope="session")
def exported(shared):
    """The path of the tiny network in a precision, with or without hoisted time. Each file is made once."""

    def export(precision, hoist):
        def make(folder):
            options = {"precision": precision, "hoist": hoist, "threads": 1}
            export_onnx(tiny_unet(), tiny_card(), folder / "unet.onnx", ExportOptions(**options))

        return shared.folder(f"tiny-{precision}{'-hoisted' if hoist else ''}", make) / "unet.onnx"

    return export
