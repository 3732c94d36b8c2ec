"""Graphs in fp16 and bf16: the types of their values, and their errors against PyTorch."""

import collections

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from tiny_unet import CONFIG, tiny_card, tiny_unet

import ddpm_rt
from ddpm_export.graph.precision import set_precision, to_bfloat16, to_low
from ddpm_export.graph.typed_parity import noised_images, rounded
from ddpm_export.onnx_export import ExportOptions, export_onnx, weights_of_onnx
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.cli import main

LOW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
FLOATS = {TensorProto.FLOAT, *LOW.values()}
ALWAYS_FLOAT32 = {"InstanceNormalization", "Softmax", "Sin", "Cos"}
ALWAYS_LOW = {"Conv", "MatMul", "BatchNormalization"}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("fp16", False), id="fp16", marks=pytest.mark.slow),
        pytest.param(("fp16", True), id="hoisted"),
        pytest.param(("bf16", False), id="bf16", marks=pytest.mark.slow),
    ],
)
def typed(request, exported):
    """The precision, whether time is hoisted, the file, and its graph with inferred types."""
    precision, hoist = request.param
    path = exported(precision, hoist)
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    return precision, hoist, path, model


def types_of(model):
    graph = model.graph
    values = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    return values | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_sensitive_layers_stay_float32_and_heavy_layers_do_not(typed):
    precision, hoist, _, model = typed
    types, seen = types_of(model), collections.Counter()
    for node in model.graph.node:
        floats = {types[name] for name in (*node.input, *node.output) if types.get(name) in FLOATS}
        if node.op_type in ALWAYS_FLOAT32 or (node.op_type == "Resize" and precision == "bf16"):
            assert floats == {TensorProto.FLOAT}, node.name
        elif node.op_type in ALWAYS_LOW:
            assert floats == {LOW[precision]}, node.name
        seen[node.op_type] += 1
    assert min(seen[kind] for kind in ("InstanceNormalization", "Softmax", "Resize", "Conv")) > 0
    assert bool(seen["Sin"]) is not hoist


def test_the_time_embedding_is_float32_up_to_the_projections_of_the_blocks(typed):
    precision, hoist, _, model = typed
    types = types_of(model)
    products = {node.input[1]: types[node.output[0]] for node in model.graph.node if node.op_type == "Gemm"}
    embedding = {name: kind for name, kind in products.items() if name.startswith("time_embedding.")}
    projections = {name: kind for name, kind in products.items() if "time_emb_proj" in name}
    assert (len(embedding), len(projections)) == ((0, 0) if hoist else (2, 8))
    assert set(embedding.values()) <= {TensorProto.FLOAT}
    assert set(projections.values()) <= {LOW[precision]}


def test_only_weights_of_float32_layers_stay_float32(typed):
    precision, _, _, model = typed
    users = collections.defaultdict(set)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            users[name].add((node.op_type, index))
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        kinds = {kind for kind, _ in users[tensor.name]}
        embedding = tensor.name.startswith("time_embedding.") or not tensor.name.count(".weight") and "Mul" in kinds
        scales = users[tensor.name] == {("Resize", 2)}
        assert kinds <= ALWAYS_FLOAT32 or embedding or scales, (tensor.name, kinds)
    stored = collections.Counter()
    for tensor in model.graph.initializer:
        stored[tensor.data_type] += int(np.prod(tensor.dims))
    assert stored[LOW[precision]] > 8 * stored[TensorProto.FLOAT]


def test_the_scales_of_a_resize_are_float32(typed):
    types = types_of(typed[3])
    found = [types[node.input[2]] for node in typed[3].graph.node if node.op_type == "Resize"]
    assert found
    assert set(found) == {TensorProto.FLOAT}


def test_inputs_and_outputs_keep_their_types(typed):
    precision, _, path, model = typed
    assert [v.type.tensor_type.elem_type for v in model.graph.input] == [TensorProto.FLOAT, TensorProto.INT64]
    assert [v.type.tensor_type.elem_type for v in model.graph.output] == [TensorProto.FLOAT]
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_the_card_has_the_precision_and_the_measured_error(typed):
    precision, _, path, _ = typed
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    card = ddpm_rt.ModelCard.from_json(entries["ddpm_rt.card"])
    parity = card.provenance.parity
    assert card.precision == precision
    # A rounding error is half a unit in the last place: 2^-11 in fp16, 2^-8 in bf16, summed over about 20 layers.
    unit = {"fp16": 2.0**-11, "bf16": 2.0**-8}[precision]
    assert 0.1 * unit < parity["rms_error"] < 10 * unit
    assert parity["rms_error"] < parity["max_abs_error"] < 0.15 * parity["max_abs_out"]
    assert parity["fp32_max_abs_error"] < 1e-5
    assert 1 < parity["largest_value"] < 100


def test_rounded_or_hoisted_weights_cannot_be_read_back(typed):
    with pytest.raises(DdpmRtError, match="--no-hoist-time"):
        weights_of_onnx(typed[2])


def psnr(a, b):
    return 10 * np.log10(4.0 / np.mean((a - b) ** 2))  # pictures are in [-1, 1]


@pytest.mark.slow
def test_a_chain_in_float16_draws_nearly_the_same_image_as_float32(exported):
    """40 dB is an error of 1 % of full scale, which is not visible in an 8-bit image."""
    for options in ({"sampler": "ddim", "steps": 50}, {"sampler": "ddpm", "steps": 200}):
        exact, half = (
            ddpm_rt.sample(exported(*kind), count=4, threads=1, **options) for kind in (("fp32", True), ("fp16", True))
        )
        assert psnr(exact, half) > 40


def test_bfloat16_rounds_to_nearest_even():
    """torch is the independent implementation."""
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32) * 100
    ties = (np.arange(1000, dtype=np.uint32) * 0x8000 + 0x3F800000).view(np.float32)
    for array in (values, ties, -ties):
        expected = torch.from_numpy(array.copy()).to(torch.bfloat16).view(torch.uint16).numpy()
        np.testing.assert_array_equal(to_bfloat16(array), expected)


@pytest.mark.parametrize(("precision", "kind"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_the_stand_in_rounds_every_result(precision, kind):
    """Against torch, which rounds after each operation: x * w + w, then a square, 4000 values."""
    weight = numpy_helper.from_array(np.array([1.2345], np.float32), "w")
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "w"], ["b"]),
        helper.make_node("Mul", ["b", "b"], ["out"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "out")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    set_precision(model, precision, keep=("t",))
    import onnxruntime

    session = onnxruntime.InferenceSession(rounded(model).SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    found, largest = session.run(None, {"x": x})
    w = torch.tensor([1.2345]).to(kind)
    b = torch.from_numpy(x).to(kind) * w + w
    expected = (b * b).float().numpy()
    np.testing.assert_array_equal(found, expected)
    assert largest >= np.abs(expected).max()


@pytest.mark.slow
def test_an_overflow_is_an_error_and_leaves_no_file(tmp_path):
    """The first layer of this UNet has huge weights, so its activations exceed 65504."""
    model = tiny_unet()
    with torch.no_grad():
        model.conv_in.weight *= 6e4 / model.conv_in.weight.abs().max()
    with pytest.raises(DdpmRtError, match="fp16 overflows"):
        export_onnx(model, tiny_card(), tmp_path / "unet.onnx", ExportOptions(precision="fp16", tolerance=1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_weight_beyond_float16_is_named():
    weight = numpy_helper.from_array(np.array([1.0, -7e4], np.float32), "conv_in.weight")
    with pytest.raises(DdpmRtError, match=r"conv_in\.weight has values up to 7e\+04"):
        to_low(weight, "fp16")
    assert to_low(weight, "bf16").data_type == TensorProto.BFLOAT16


def test_the_error_is_measured_on_inputs_like_those_of_a_chain():
    """The inputs are images at t = 0 and unit noise at the last t (DDPM eq. 4)."""
    card = tiny_card()
    images = noised_images(card, np.array([0, 999] * 50))
    assert np.abs(images[::2]).max() < 1.1  # beta_1 is 1e-4: noise of 0.01
    assert abs(images[1::2].std() - 1) < 0.05
    assert images.dtype == np.float32


@pytest.mark.slow
def test_the_command_exports_in_half_the_size(tmp_path, exported):
    checkpoint = tmp_path / "tiny"
    save_checkpoint(checkpoint, Checkpoint(tiny_unet(), schedules.cosine(1000), "v", "fixed_small", (-1.0, 1.0)))
    out = tmp_path / "unet.onnx"
    options = ("--precision", "fp16", "--no-hoist-time", "--threads", "1")
    result = CliRunner().invoke(main, ["export", str(checkpoint), "-o", str(out), *options])
    assert result.exit_code == 0, result.output
    assert open_denoiser(out).card.precision == "fp16"
    assert open_denoiser(exported("fp16", False)).card.precision == "fp16"
    assert out.stat().st_size < 0.7 * (sum(w.numel() for w in tiny_unet().parameters()) * 4)
    result = CliRunner().invoke(main, ["export", str(checkpoint), "-o", str(tmp_path / "x.onnx"), "--precision", "fp8"])
    assert result.exit_code == 2


def test_the_tiny_network_has_all_kinds_of_layers():
    assert "AttnDownBlock2D" in CONFIG.down_block_types
    assert "DownBlock2D" in CONFIG.down_block_types
