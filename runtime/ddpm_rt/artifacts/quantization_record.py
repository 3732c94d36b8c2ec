"""What `ddpm-rt quantize` measured, kept as JSON in the metadata of the ONNX file that it writes."""

from pathlib import Path
from typing import Any

from ..errors import DdpmRtError
from .bounded_read import failure, parse_json
from .facts import is_number, is_text, maps
from .onnx_metadata import read_metadata

METADATA_KEY = "ddpm_rt.quantization"  # of ONNX's metadata_props
FORMAT = 1
AGAIN = "quantise the model again"


def read_quantization(path: Path) -> dict[str, Any] | None:
    """The record in an ONNX file; None for a file without one.

    `layers` maps a layer's name to its `error`, its share of the `multiply_adds`, and why it is `float` (null: it is
    int8). Raises DdpmRtError for a record that is damaged.
    """
    text = read_metadata(path).get(METADATA_KEY)
    if text is None:
        return None
    try:
        found = parse_json(text, constants=False)
    except ValueError as error:
        raise failure(path, f"has a damaged record of its quantisation ({error})", AGAIN) from error
    if not _is_record(found):
        raise DdpmRtError(f"{path} has a record of its quantisation that is not of format {FORMAT}; {AGAIN}")
    record: dict[str, Any] = found
    return record


def _is_record(found: Any) -> bool:
    if not isinstance(found, dict) or set(found) != {"format", "for", "calibration", "layers"}:
        return False
    known = found["format"] == FORMAT and is_text(found["for"]) and isinstance(found["calibration"], dict)
    return known and is_text(found["calibration"].get("sampler")) and maps(found["layers"], _is_layer)


def _is_layer(layer: Any) -> bool:
    return (
        isinstance(layer, dict)
        and set(layer) == {"error", "multiply_adds", "float"}
        and (layer["error"] is None or is_number(layer["error"]))
        and is_number(layer["multiply_adds"])
        and (layer["float"] is None or is_text(layer["float"]))
    )
