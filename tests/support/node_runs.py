"""Runs nodes that a test wrote, on ONNX Runtime's CPU provider, with its optimisations on or off."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

KINDS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint64": TensorProto.UINT64}


def session_of(model, *, optimised=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_nodes(nodes, inputs, output, *, optimised=True):
    """The value `output` of `nodes` for named arrays."""
    infos = [
        helper.make_tensor_value_info(name, KINDS[array.dtype.name], [None] * array.ndim)
        for name, array in inputs.items()
    ]
    found = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes.nodes, "nodes", infos, [found], nodes.constants.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return session_of(model.SerializeToString(), optimised=optimised).run([output], inputs)[0]


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)
