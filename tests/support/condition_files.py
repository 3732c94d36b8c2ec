"""Small ONNX files with named inputs, as another tool would export them."""

from pathlib import Path

import numpy as np
from gaussian_model import PIXEL_VARIANCE, gaussian_card
from other_kinds import sigma_card

from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.artifacts.card_facts import InputFacts

FLOAT, INT64 = 1, 7  # of TensorProto


def save_graph(path, nodes, inputs, output, constants, card=None):
    import onnx
    from onnx import helper, numpy_helper

    made = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    out = helper.make_tensor_value_info(*output)
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "conditions", made, [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if card is not None:
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, path)
    return Path(path)


def write_denoiser(path, shape=(1, 5, 6), card=None):
    """denoised = v / (v + sigma^2) noisy + difficulty / 100; names as a published model has them."""
    from onnx import helper

    sides = ["b", *shape]
    each = np.array([-1, *[1] * len(shape)])
    nodes = [
        helper.make_node("Mul", ["sigma", "sigma"], ["square"]),
        helper.make_node("Add", ["square", "v"], ["sum"]),
        helper.make_node("Div", ["v", "sum"], ["flat"]),
        helper.make_node("Reshape", ["flat", "each"], ["gain"]),
        helper.make_node("Reshape", ["difficulty", "each"], ["level"]),
        helper.make_node("Mul", ["level", "hundredth"], ["offset"]),
        helper.make_node("Mul", ["gain", "noisy"], ["product"]),
        helper.make_node("Add", ["product", "offset"], ["denoised"]),
    ]
    constants = {"v": np.float32(PIXEL_VARIANCE), "hundredth": np.float32(0.01), "each": each}
    constants = {name: np.asarray(value) for name, value in constants.items()}
    inputs = [("noisy", FLOAT, sides), ("sigma", FLOAT, ["b"]), ("difficulty", FLOAT, ["b"])]
    return save_graph(path, nodes, inputs, ("denoised", FLOAT, sides), constants, card)


def denoiser_card(shape=(1, 5, 6)):
    """What `write_denoiser` is: a denoiser of noise levels with a condition."""
    names = {"x": "noisy", "t": "sigma", "out": "denoised"}
    return sigma_card(image_shape=shape, names=names, inputs={"difficulty": InputFacts("float32", ())})


def write_divided(path, card):
    """out = x / (1 + t), with t as float32."""
    from onnx import helper

    sides = ["batch", *card.image_shape]
    nodes = [
        helper.make_node("Add", ["t", "one"], ["above"]),
        helper.make_node("Reshape", ["above", "each"], ["divisor"]),
        helper.make_node("Div", ["x", "divisor"], ["out"]),
    ]
    constants = {"one": np.array(1, np.float32), "each": np.array([-1, *[1] * len(card.image_shape)])}
    return save_graph(
        path, nodes, [("x", FLOAT, sides), ("t", FLOAT, ["batch"])], ("out", FLOAT, sides), constants, card
    )


def write_mixed(path, card):
    """`other_kinds.mixed` as a graph: out = x / 2 + image / 4 - before / 8 + number / 100."""
    from onnx import helper

    sides = ["b", *card.image_shape]
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["a"]),
        helper.make_node("Mul", ["image", "quarter"], ["b"]),
        helper.make_node("Mul", ["before", "eighth"], ["c"]),
        helper.make_node("Cast", ["number"], ["float"], to=FLOAT),
        helper.make_node("Cast", ["t"], ["time"], to=FLOAT),
        helper.make_node("Mul", ["time", "zero"], ["nothing"]),
        helper.make_node("Add", ["float", "nothing"], ["level"]),
        helper.make_node("Reshape", ["level", "each"], ["d"]),
        helper.make_node("Mul", ["d", "hundredth"], ["e"]),
        helper.make_node("Add", ["a", "b"], ["f"]),
        helper.make_node("Sub", ["f", "c"], ["g"]),
        helper.make_node("Add", ["g", "e"], ["out"]),
    ]
    constants = {"half": 0.5, "quarter": 0.25, "eighth": 0.125, "hundredth": 0.01, "zero": 0.0}
    constants = {name: np.array(value, np.float32) for name, value in constants.items()}
    constants["each"] = np.array([-1, *[1] * len(card.image_shape)])
    inputs = [("x", FLOAT, sides), ("t", INT64, ["b"]), ("image", FLOAT, sides), ("number", INT64, ["b"]),
              ("before", FLOAT, sides)]  # fmt: skip
    return save_graph(path, nodes, inputs, ("out", FLOAT, sides), constants, card)


def super_resolution_card(shape=(1, 4, 6), **changes):
    inputs = {"low_res": InputFacts("float32", shape), "before": InputFacts("float32", shape, "prev_x0")}
    return gaussian_card(
        **({"image_shape": shape, "clip": (-1.0, 1.0), "prediction": "x0", "inputs": inputs} | changes)
    )


def write_super_resolution(path, shape=(1, 4, 6), batch="b", **changes):
    """x0 = low_res / 2 + before / 4 + x / 8: every input shows in the result."""
    from onnx import helper

    sides, card = [batch, *shape], super_resolution_card(shape, **changes)
    nodes = [
        helper.make_node("Mul", ["low_res", "half"], ["a"]),
        helper.make_node("Mul", ["before", "quarter"], ["c"]),
        helper.make_node("Mul", ["x", "eighth"], ["d"]),
        helper.make_node("Add", ["a", "c"], ["e"]),
        helper.make_node("Cast", ["t"], ["time"], to=FLOAT),
        helper.make_node("Mul", ["time", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "each"], ["f"]),
        helper.make_node("Add", ["d", "f"], ["g"]),
        helper.make_node("Add", ["e", "g"], ["out"]),
    ]
    constants = {"half": 0.5, "quarter": 0.25, "eighth": 0.125, "zero": 0.0}
    constants = {name: np.array(value, np.float32) for name, value in constants.items()}
    constants["each"] = np.array([-1, *[1] * len(shape)])
    inputs = [("x", FLOAT, sides), ("t", INT64, [batch]), ("low_res", FLOAT, sides), ("before", FLOAT, sides)]
    return save_graph(path, nodes, inputs, ("out", FLOAT, sides), constants, card)


def super_resolved(card, x_T, low_res, table, clip=(-1.0, 1.0)):
    """The chain of `write_super_resolution` without noise, in float64, by the definition of self-conditioning."""
    x, before = x_T.astype(np.float64), np.zeros_like(x_T, np.float64)
    for row in range(table.steps):
        before = np.clip(low_res / 2 + before / 4 + x / 8, *clip)
        x = table.mean_from_x0[row] * before + table.mean_from_x[row] * x
    return x


def write_decoder(path, *, channels=3, latents=(4, 2, 3)):
    """A decoder of latents: some of the channels, each value four times, and 0.25 more."""
    from onnx import helper

    nodes = [
        helper.make_node("Slice", ["z", "zero", "three", "one"], ["rgb"]),
        helper.make_node("Resize", ["rgb", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Add", ["large", "quarter"], ["image"]),
    ]
    constants = {
        "zero": np.array([0]), "three": np.array([channels]), "one": np.array([1]),
        "scales": np.array([1, 1, 2, 2], np.float32), "quarter": np.array(0.25, np.float32),
    }  # fmt: skip
    sides = [channels, *(2 * side for side in latents[1:])]
    return save_graph(path, nodes, [("z", FLOAT, ["b", *latents])], ("image", FLOAT, ["b", *sides]), constants)
