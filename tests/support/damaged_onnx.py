"""Copies of an ONNX file with one fault each."""

import dataclasses

import numpy as np
import onnx

from ddpm_rt import ModelCard


def changed(source, out, change):
    """A copy of a model with one fault."""
    model = onnx.load(source)
    change(model)
    out.write_bytes(model.SerializeToString())
    return out


def node(model, kind):
    return next(node for node in model.graph.node if node.op_type == kind)


def no_card(model):
    del model.metadata_props[:]


def no_such_operator(model):
    node(model, "Sigmoid").op_type = "Det"


def custom_operator(model):
    broken = node(model, "Sigmoid")
    broken.op_type, broken.domain = "Swish2", "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))


def weights_elsewhere(model):
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.append(onnx.StringStringEntryProto(key="location", value="weights.bin"))


def set_precision(model, precision):
    """Change the precision in the card."""
    props = {entry.key: entry.value for entry in model.metadata_props}
    card = ModelCard.from_json(props["ddpm_rt.card"])
    changed_card = dataclasses.replace(card, precision=precision)
    onnx.helper.set_model_props(model, {**props, "ddpm_rt.card": changed_card.to_json()})


def fp8(model):
    """Quantise to E4M3 and back before a convolution."""
    conv = node(model, "Conv")
    scale = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "fp8.scale")
    zero = onnx.helper.make_tensor("fp8.zero", onnx.TensorProto.FLOAT8E4M3FN, [], [0.0])
    model.graph.initializer.extend([scale, zero])
    pair = [
        onnx.helper.make_node("QuantizeLinear", [conv.input[0], "fp8.scale", "fp8.zero"], ["fp8.low"]),
        onnx.helper.make_node("DequantizeLinear", ["fp8.low", "fp8.scale", "fp8.zero"], ["fp8.back"]),
    ]
    conv.input[0] = "fp8.back"
    place = list(model.graph.node).index(conv)
    for made in reversed(pair):
        model.graph.node.insert(place, made)
    model.opset_import[0].version = 19
    set_precision(model, "fp32+int8")  # as the graph's types are read
