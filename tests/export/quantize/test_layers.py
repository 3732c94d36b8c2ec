"""Which layers may be quantised, and which stay float because of what the measurement says."""

import onnx
import pytest
from onnx import helper
from tiny_unet import CONFIG, tiny_card, tiny_unet

from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_export.quantize.layers import Layer, find_layers
from ddpm_export.quantize.quantize import read_float
from ddpm_export.quantize.sensitivity import FLOAT_SHARE, decided
from ddpm_rt import DdpmRtError


@pytest.fixture(scope="module")
def layers(exported):
    return {layer.name: layer for layer in find_layers(read_float(exported("fp32", False))[1], tiny_card())}


def test_the_ends_of_the_network_stay_float_and_the_time_embedding_is_gone(layers):
    assert {name: layer.stays for name, layer in layers.items() if layer.stays} == {
        "conv_in": "first convolution",
        "conv_out": "last convolution",
    }
    assert not any("time_emb" in name for name in layers)
    kinds = {layer.node.op_type for layer in layers.values()}
    assert kinds == {"Conv", "MatMul"}


def test_the_embedding_stays_float_where_it_is_in_the_graph(exported):
    model = onnx.load(exported("fp32", False))
    found = {layer.name: layer.stays for layer in find_layers(model, tiny_card())}
    assert found["time_embedding.linear_1"] == "embedding of t or of the label"
    assert found["mid_block.resnets.0.time_emb_proj"] == "embedding of t or of the label"


def test_attention_and_its_projections_are_layers(layers):
    assert layers["mid_block.attentions.0.to_q"].weight == "mid_block.attentions.0.to_q.weight.T"
    products = [layer for layer in layers.values() if layer.weight is None]
    assert len(products) == 2 * sum(name.endswith("to_q") for name in layers)
    assert all(len(layer.inputs) == 2 for layer in products)


def test_multiply_adds_are_those_of_one_image(layers):
    width, side = CONFIG.block_out_channels[0], CONFIG.sample_size
    assert layers["down_blocks.0.resnets.0.conv1"].multiply_adds == width * width * 9 * side * side
    tokens, channels = (side // 2) ** 2, CONFIG.block_out_channels[1]
    assert layers["mid_block.attentions.0.to_q"].multiply_adds == tokens * channels * channels
    products = {layer.multiply_adds for layer in layers.values() if layer.weight is None}
    assert products == {tokens * tokens * channels}


def test_kept_layers_are_named_by_patterns_and_a_pattern_of_none_is_an_error(exported):
    model = read_float(exported("fp32", False))[1]
    found = {layer.name: layer.stays for layer in find_layers(model, tiny_card(), ["*.to_q", "conv_in"])}
    assert {name for name, reason in found.items() if reason == "--keep"} == {n for n in found if n.endswith("to_q")}
    with pytest.raises(DdpmRtError, match="--keep no.such names no layer; they are called conv_in"):
        find_layers(model, tiny_card(), ["no.such"])


def layer(multiply_adds, stays=None):
    return Layer("a", helper.make_node("Conv", ["x", "w"], ["y"]), ("x",), "w", multiply_adds, stays)


def test_layers_that_do_much_harm_for_little_work_stay_float():
    layers = [layer(1000), layer(10), layer(10), layer(1000, "first convolution")]
    assert [row.stays for row in decided(layers, [0.01, 0.2, 0.001, None])] == [
        None,
        "sensitive",
        None,
        "first convolution",
    ]


def test_no_more_work_than_the_share_stays_float_because_of_the_measurement():
    layers = [layer(10) for _ in range(100)]
    stay = [row.stays for row in decided(layers, [1.0 + index / 100 for index in range(100)])]
    assert stay.count("sensitive") <= FLOAT_SHARE * 100
    assert stay[-1] is None or stay.count("sensitive") == FLOAT_SHARE * 100


def test_the_operators_of_onnx_have_a_second_name(exported, tmp_path, layers):
    model = onnx.load(exported("fp32", False))
    for entry in (*model.opset_import, *model.graph.node):
        entry.domain = "ai.onnx"
    onnx.save(model, tmp_path / "named.onnx")
    assert [layer.name for layer in find_layers(read_float(tmp_path / "named.onnx")[1], tiny_card())] == [*layers]


def test_a_layer_has_its_work_in_every_opset(tmp_path, layers):
    """onnx infers no shape behind a GroupNormalization of opset 21."""
    export_onnx(tiny_unet(), tiny_card(), tmp_path / "unet.onnx", ExportOptions(opset=21, threads=1))
    found = find_layers(read_float(tmp_path / "unet.onnx")[1], tiny_card())
    assert "GroupNormalization" in {node.op_type for node in onnx.load(tmp_path / "unet.onnx").graph.node}
    assert {layer.name: layer.multiply_adds for layer in found if layer.weight} == {
        name: layer.multiply_adds for name, layer in layers.items() if layer.weight
    }
