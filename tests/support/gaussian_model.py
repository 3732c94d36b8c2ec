"""Models that need no training: the exact denoisers of Gaussian pixels, as ONNX files with a card."""

from pathlib import Path

import numpy as np

from ddpm_rt import ModelCard, Provenance
from ddpm_rt.artifacts.card import METADATA_KEY

BETAS = np.linspace(1e-4, 0.02, 1000)
PIXEL_VARIANCE = 0.25
CLASS_MEANS = (-0.5, 0.25, 0.75, 0.0)  # the last class is the null class


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
    """out = coefficient[t] * x, the expected noise in pixels from N(0, PIXEL_VARIANCE)."""
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


def conditional_card(**changes):
    names = {"x": "x", "t": "t", "y": "y", "out": "out"}
    return gaussian_card(**{"classes": len(CLASS_MEANS), "null_class": 3, "names": names, **changes})


def write_conditional(path, *, card=None, batch="batch", time="int64", spread=None):
    """The expected noise in pixels from N(CLASS_MEANS[y], PIXEL_VARIANCE): gain[t] (x - signal[t] mean[y]).

    `time` is the type of t, "one ..." for a scalar. `spread` adds as many channels again with this value.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    card = card or conditional_card()
    learned = card.variance == "learned_range" if spread is None else spread is not False
    signal = np.sqrt(np.cumprod(1 - np.array(card.betas)))
    noise2 = 1 - signal**2
    gain = np.sqrt(noise2) / (signal**2 * PIXEL_VARIANCE + noise2)
    names, shape = card.names, [batch, *card.image_shape]
    kinds = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
    one, kind = time.startswith("one "), kinds[time.removeprefix("one ")]
    nodes = [
        helper.make_node("Cast", [names["t"]], ["step"], to=TensorProto.INT64),
        *_gathered("gain", "step"),
        *_gathered("signal", "step"),
        *_gathered("mean", names["y"]),
        helper.make_node("Mul", ["each signal", "each mean"], ["centre"]),
        helper.make_node("Sub", [names["x"], "centre"], ["off"]),
        helper.make_node("Mul", ["each gain", "off"], ["noise" if learned else names["out"]]),
    ]
    constants = {"gain": gain, "signal": signal, "mean": np.array(CLASS_MEANS), "spread": np.array(float(spread or 0))}
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([-1, 1, 1, 1]), "per_image"))
    if learned:
        nodes += [
            helper.make_node("Sub", ["noise", "noise"], ["zeros"]),
            helper.make_node("Add", ["zeros", "spread"], ["spreads"]),
            helper.make_node("Concat", ["noise", "spreads"], [names["out"]], axis=1),
        ]
    channels = card.image_shape[0] * (2 if learned else 1)
    graph = helper.make_graph(
        nodes,
        "conditional",
        [
            helper.make_tensor_value_info(names["x"], TensorProto.FLOAT, shape),
            helper.make_tensor_value_info(names["t"], kind, [] if one else [batch]),
            helper.make_tensor_value_info(names["y"], TensorProto.INT64, [batch]),
        ],
        [helper.make_tensor_value_info(names["out"], TensorProto.FLOAT, [batch, channels, *card.image_shape[1:]])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, path)
    return Path(path)


def _gathered(table, index):
    """`each <table>`: its value at each index, as [B, 1, 1, 1]."""
    from onnx import helper

    return [
        helper.make_node("Gather", [table, index], [f"flat {table}"]),
        helper.make_node("Reshape", [f"flat {table}", "per_image"], [f"each {table}"]),
    ]
