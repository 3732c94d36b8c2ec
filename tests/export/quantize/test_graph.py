"""The quantised graph: what ONNX Runtime and TensorRT make of it."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from tiny_unet import tiny_card

from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions
from ddpm_export.quantize.layers import find_layers
from ddpm_export.quantize.quantize import read_float
from ddpm_rt import open_denoiser
from ddpm_rt.artifacts.onnx_types import operators
from ddpm_rt.artifacts.quantization_record import read_quantization
from ddpm_rt.inspection.operators import optimised_operators


def int8_layers(path, kind):
    """The int8 layers of the record that are of one kind of operator."""
    record = read_quantization(path)["layers"]
    quantised = {name for name, layer in record.items() if layer["float"] is None}
    return quantised & {name for name, operator in kinds().items() if operator == kind}


def kinds():
    return KINDS


KINDS = {}


@pytest.fixture(scope="module", autouse=True)
def _kinds(exported):
    KINDS.update(
        {layer.name: layer.node.op_type for layer in find_layers(read_float(exported("fp32", False))[1], tiny_card())}
    )


@pytest.mark.slow
def test_onnx_runtime_fuses_every_int8_convolution_and_product(quantised):
    path = quantised("cpu")
    found = optimised_operators(path)
    convolutions = int8_layers(path, "Conv")
    assert len(convolutions) > 5
    assert found["QLinearConv"] == len(convolutions)
    assert found["Conv"] == sum(kind == "Conv" for kind in KINDS.values()) - len(convolutions)
    products = int8_layers(path, "MatMul")
    assert found["QLinearMatMul"] + found["MatMulIntegerToFloat"] == len(products) > 0


def test_a_quantised_convolution_has_one_reader_that_quantises_it(quantised):
    """ONNX Runtime fuses no other."""
    graph = onnx.load(quantised("cpu")).graph
    quantising = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    readers = Counter(name for node in graph.node for name in node.input)
    by_input = {node.input[0]: node.op_type for node in graph.node}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] in quantising:
            assert readers[node.output[0]] == 1
            assert by_input[node.output[0]] == "QuantizeLinear"


def test_an_upsampled_image_is_quantised_before_it_is_enlarged(quantised):
    graph = onnx.load(quantised("cpu")).graph
    made = {node.output[0]: node for node in graph.node}
    (resize,) = [node for node in graph.node if node.op_type == "Resize"]
    before, after = made[resize.input[0]], [node for node in graph.node if node.input[0] == resize.output[0]]
    assert before.op_type == "DequantizeLinear"
    assert [node.op_type for node in after] == ["QuantizeLinear"]
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert values[before.input[1]] == values[after[0].input[1]]
    assert values[before.input[2]] == values[after[0].input[2]]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "precision"), [("cpu", "fp32"), ("tensorrt", "fp32"), ("tensorrt", "fp16")])
def test_the_outputs_are_those_of_the_float_model_up_to_eight_bits(quantised, exported, target, precision):
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    t = np.array([0, 500, 999])
    with (
        open_denoiser(exported("fp32", False), threads=1) as exact,
        open_denoiser(quantised(target, precision=precision), threads=1) as ours,
    ):
        expected, found = exact(x, t), ours(x, t)
    error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert 1e-4 < error < 0.1  # some fifteen layers, each off by a thousandth or a few


def test_weights_are_int8_in_the_file_and_no_float_copy_is_left(quantised):
    graph = onnx.load(quantised("cpu")).graph
    kernels = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 4}
    floats = [
        name for name, tensor in kernels.items() if tensor.data_type == TensorProto.FLOAT and tensor.dims[-1] == 3
    ]
    assert len(floats) < len(kernels) / 2


def test_for_tensorrt_everything_is_signed_and_symmetric_and_biases_are_float(quantised):
    graph = onnx.load(quantised("tensorrt")).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    zeros = {node.input[2] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    assert zeros
    for name in zeros:
        assert values[name].data_type == TensorProto.INT8
        assert not numpy_helper.to_array(values[name]).any()
    biases = [node.input[2] for node in graph.node if node.op_type == "Conv"]
    assert {values[name].data_type for name in biases} == {TensorProto.FLOAT}


@pytest.mark.slow
def test_what_is_float_is_fp16_for_tensorrt_with_scales_that_fp16_holds(quantised):
    graph = onnx.load(quantised("tensorrt", precision="fp16")).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert values[node.input[1]].data_type == TensorProto.FLOAT16
            assert (numpy_helper.to_array(values[node.input[1]]) > 0).all()
    for node in graph.node:
        if node.op_type == "Conv":
            assert values[node.input[2]].data_type == TensorProto.FLOAT16


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["fp32", "fp16"])
def test_tensorrt_builds_the_plan_and_its_record_says_int8(quantised, tmp_path, rest):
    path = quantised("tensorrt", precision=rest)
    record, _ = build_plan(path, tmp_path / "unet.plan", BuildOptions(batch=((1, 1, 1),), compute_capability=("8.9",)))
    assert record.card.precision == ("fp32+int8" if rest == "fp32" else "fp16+int8")
    count = operators(path)
    layers = record.build.layers
    assert sum(layers["dequantize"].values()) == count["DequantizeLinear"]
    assert layers["quantize"]["int8"] == count["QuantizeLinear"]


@pytest.mark.slow
def test_a_hoisted_export_is_quantised_as_it_is(quantised):
    one, other = (operators(quantised("cpu", hoist)) for hoist in (False, True))
    assert one["Gather"] == other["Gather"] > 0
