"""The types and shapes of a graph's values."""

import onnx


def inferred(model: onnx.ModelProto, *, data_prop: bool = False) -> onnx.GraphProto:
    """A graph whose `value_info` has the types and shapes that onnx infers; `model` is not changed.

    onnx infers nothing for GroupNormalization of opset 21, and so nothing for the values behind it. Its output has the
    type and shape of its input, so it is an Identity here.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.op_type == "GroupNormalization":
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    return onnx.shape_inference.infer_shapes(copy, data_prop=data_prop).graph
