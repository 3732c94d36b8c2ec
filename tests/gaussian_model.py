"""A model that needs no training: the exact denoiser of Gaussian pixels, as an ONNX file with a card."""

from pathlib import Path

import numpy as np

from ddpm_rt import ModelCard, Provenance
from ddpm_rt.card import METADATA_KEY

BETAS = np.linspace(1e-4, 0.02, 1000)
PIXEL_VARIANCE = 0.25


def gaussian_card(**changes):
    facts = {
        "image_shape": (1, 4, 6),
        "betas": tuple(BETAS.tolist()),
        "prediction": "eps",
        "variance": "fixed_small",
        "clip": None,
        "spacing": "trailing",
        "classes": None,
        "null_class": None,
        "names": {"x": "x", "t": "t", "out": "out"},
        "precision": "fp32",
        "provenance": Provenance("gaussian", "0" * 64, {"onnx": "1"}, {"max_abs_error": 0.0}),
    }
    return ModelCard(**(facts | changes))


def write_gaussian(path, *, card=None, batch="batch", poison_at=None, metadata=True):
    """out = coefficient[t] * x, the noise to be expected in pixels from N(0, PIXEL_VARIANCE)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    card = card or gaussian_card()
    alpha_bar = np.cumprod(1 - np.array(card.betas))
    coefficient = np.sqrt(1 - alpha_bar) / (alpha_bar * PIXEL_VARIANCE + 1 - alpha_bar)
    if poison_at is not None:
        coefficient[poison_at] = np.nan
    shape = [batch, *card.image_shape]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["coefficient", "t"], ["one"]),
            helper.make_node("Reshape", ["one", "per_image"], ["each"]),
            helper.make_node("Mul", ["each", "x"], ["out"]),
        ],
        "gaussian",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("t", TensorProto.INT64, [batch]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(coefficient.astype(np.float32), "coefficient"),
            numpy_helper.from_array(np.array([-1, 1, 1, 1]), "per_image"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if metadata:
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, path)
    return Path(path)
