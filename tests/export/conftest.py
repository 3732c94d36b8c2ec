"""What the tests of the exporter share: networks that are exported once."""

import pytest
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.onnx_export import export_onnx


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The path of the tiny network in a precision, its time hoisted or not; each is made once."""
    folder, made = tmp_path_factory.mktemp("typed"), {}

    def export(precision, hoist):
        if (precision, hoist) not in made:
            made[precision, hoist] = folder / f"{precision}.{hoist}.onnx"
            options = {"precision": precision, "hoist": hoist, "threads": 1}
            export_onnx(tiny_unet(), tiny_card(), made[precision, hoist], **options)
        return made[precision, hoist]

    return export
