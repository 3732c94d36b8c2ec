"""`ddpm-rt sample` runs every file that `ddpm-rt card` accepts; other files are refused with advice."""

import dataclasses

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import ddpm_rt
from ddpm_rt.artifacts.onnx_types import contradiction, graph_precision
from ddpm_rt.cli import main

FACTS = ["--betas", "linear:40:1e-3:0.3", "--prediction", "eps", "--variance", "fixed_small", "--clip", "-1,1"]
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def write(path, *, t=(TensorProto.INT64, ["n"]), x=(FLOAT, ["n", 1, 4, 4]), out=None, y=None, first=None, more=()):
    """out = w x + t / 1000, where w is a 1 x 1 kernel; `first` is an operator between x and the rest."""
    kind = x[0]
    number = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [first] if first is not None else []
    nodes += [
        helper.make_node("Conv", ["x" if first is None else first.output[0], "w"], ["scaled"]),
        helper.make_node("Cast", ["t"], ["time"], to=kind),
        helper.make_node("Reshape", ["time", "rows"], ["each"]),
        helper.make_node("Mul", ["each", "milli"], ["shift"]),
        helper.make_node("Add", ["scaled", "shift"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info("x", *x), helper.make_tensor_value_info("t", *t)]
    inputs += [] if y is None else [helper.make_tensor_value_info("y", *y)]
    weights = {"w": np.full((1, 1, 1, 1), 0.1, number), "rows": np.array([-1, 1, 1, 1]), "milli": number.type(1e-3)}
    outputs = [helper.make_tensor_value_info("out", *(out or x)), *more]
    nodes += [helper.make_node("Identity", ["shift"], [value.name]) for value in more]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def add_card(source, out, *more):
    return CliRunner().invoke(main, ["card", str(source), "--out", str(out), *FACTS, *more])


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, FLOAT], ids=["int64", "int32", "float32"])
@pytest.mark.parametrize("shape", [[], [1], ["m"], [None]], ids=["number", "one", "named", "free"])
def test_every_form_of_t_draws_the_same_images_in_batches_of_every_size(tmp_path, kind, shape):
    result = add_card(write(tmp_path / "a.onnx", t=(kind, shape)), tmp_path / "b.onnx")
    assert result.exit_code == 0, result.output
    expected = np.float32([0.1, 0.1, 0.1])[:, None, None, None] + np.float32(0.039)
    denoise = ddpm_rt.open_denoiser(tmp_path / "b.onnx")
    out = denoise(np.ones((3, 1, 4, 4), np.float32), np.full(3, 39))
    np.testing.assert_allclose(out, np.broadcast_to(expected, out.shape), rtol=0, atol=1e-6)
    images = [ddpm_rt.sample(tmp_path / "b.onnx", steps=5, count=3, batch=batch) for batch in (1, 2, 3)]
    for other in images[1:]:
        np.testing.assert_array_equal(images[0], other)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [[], [1], ["n"], "fixed"])
def test_a_fixed_batch_works_with_every_form_of_t(tmp_path, batch, shape):
    sides = [batch] if shape == "fixed" else shape
    path = write(tmp_path / "a.onnx", x=(FLOAT, [batch, 1, 4, 4]), t=(TensorProto.INT64, sides))
    result = add_card(path, tmp_path / "b.onnx")
    assert result.exit_code == 0, result.output
    assert np.isfinite(ddpm_rt.sample(tmp_path / "b.onnx", steps=3, count=4)).all()


NHWC = helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2])
FEATURE = helper.make_tensor_value_info("feature", FLOAT, None)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"t": (TensorProto.DOUBLE, ["n"])}, "must be int64, int32 or float32"),
        ({"t": (TensorProto.INT64, ["n", 1])}, "must be int64, int32 or float32: a number"),
        ({"t": (TensorProto.INT64, [4])}, "t is [4]; it must be a number, [1], or [batch]"),
        ({"x": (HALF, ["n", 1, 4, 4])}, "keep_io_types=True"),
        ({"x": (FLOAT, ["n", 8, 8, 3])}, "channels last (NHWC)"),
        ({"x": (FLOAT, ["n", 32, 16, 1])}, "channels last (NHWC)"),
        ({"x": (FLOAT, ["n", 6, 9, 7]), "first": NHWC}, "channels last (NHWC)"),
        ({"more": [FEATURE]}, "the extra output 'feature'; remove it with onnx.utils.extract_model"),
        ({"y": (TensorProto.INT64, ["n"])}, "the extra input 'y'"),
        ({"x": (FLOAT, ["n", 1, 100000, 100000])}, "more than"),
        ({"x": (FLOAT, ["n", 1, 0, 4])}, "must be float32 [batch, C, ...]"),
    ],
)
def test_a_graph_that_the_runtime_cannot_run_is_refused_with_advice(tmp_path, graph, message):
    result = add_card(write(tmp_path / "a.onnx", **graph), tmp_path / "b.onnx")
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.parametrize("sides", [(3, 8, 8), (1, 4, 4), (4, 4, 4), (16, 2, 2), (1, 28, 3)])
def test_small_images_with_channels_first_are_accepted(tmp_path, sides):
    channels = sides[0]
    path = write(tmp_path / "a.onnx", x=(FLOAT, ["n", *sides]))
    model = onnx.load(path)
    kernel = np.eye(channels, dtype=np.float32)[:, :, None, None]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "w"))
    onnx.save(model, path)
    assert add_card(path, tmp_path / "b.onnx").exit_code == 0


def outside(folder, location="weights.bin"):
    model = onnx.load(write(folder / "a.onnx"))
    onnx.save(model, folder / "a.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(folder / "a.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    onnx.save(model, folder / "a.onnx")
    return folder / "a.onnx"


def test_weights_behind_a_link_are_read_into_the_copy(tmp_path):
    path = outside(tmp_path)
    (tmp_path / "blob").write_bytes((tmp_path / "weights.bin").read_bytes())
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.bin").symlink_to("blob")
    result = add_card(path, tmp_path / "b.onnx")
    assert result.exit_code == 0, result.output
    (tmp_path / "blob").unlink()
    assert np.isfinite(ddpm_rt.sample(tmp_path / "b.onnx", steps=2, count=1)).all()


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "a/../../w", "..\\w", "C:\\w", ""])
def test_weights_outside_the_folder_are_not_read(tmp_path, location):
    (tmp_path / "m").mkdir()
    result = add_card(outside(tmp_path / "m", location), tmp_path / "b.onnx")
    assert result.exit_code == 1
    assert "outside its folder" in result.stderr


@pytest.mark.parametrize("change", ["missing", "short"])
def test_truncated_or_missing_weights_are_named(tmp_path, change):
    path = outside(tmp_path)
    if change == "missing":
        (tmp_path / "weights.bin").unlink()
    else:
        (tmp_path / "weights.bin").write_bytes(b"12")
    result = add_card(path, tmp_path / "b.onnx")
    assert result.exit_code == 1
    assert "weights.bin" in result.stderr


def test_betas_that_end_without_signal_work_with_v_and_not_with_eps(tmp_path):
    path = write(tmp_path / "a.onnx")
    np.save(tmp_path / "betas.npy", [0.1, 0.5, 1.0])
    given = ["--betas", str(tmp_path / "betas.npy"), "--prediction"]
    assert add_card(path, tmp_path / "b.onnx", *given, "v").exit_code == 0
    assert np.isfinite(ddpm_rt.sample(tmp_path / "b.onnx", steps=3, count=2)).all()
    result = add_card(path, tmp_path / "c.onnx", *given, "eps")
    assert "a network that predicts eps cannot start there" in result.stderr


def test_a_git_lfs_pointer_is_named_as_such(tmp_path):
    (tmp_path / "a.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    for command in (["card", *FACTS, "-o", str(tmp_path / "b.onnx")], ["inspect"], ["sample", "--engine"]):
        result = CliRunner().invoke(main, [*command, str(tmp_path / "a.onnx")])
        assert "Git LFS pointer" in result.stderr


def with_kernel(path, kind, *, cast=None):
    """The graph above with its kernel in another type, or with a cast of x."""
    model = onnx.load(path)
    graph = model.graph
    if kind != FLOAT:
        value = numpy_helper.to_array(graph.initializer[0]).astype(helper.tensor_dtype_to_np_dtype(kind))
        graph.initializer[0].CopyFrom(numpy_helper.from_array(value, "low"))
        graph.node.insert(0, helper.make_node("Cast", ["low"], ["w"], to=FLOAT))
    if cast is not None:
        graph.node.insert(0, helper.make_node("Cast", ["x"], ["lower"], to=cast))
        graph.node.insert(1, helper.make_node("Cast", ["lower"], ["higher"], to=FLOAT))
        next(node for node in graph.node if node.op_type == "Conv").input[0] = "higher"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("kind", "cast", "expected"),
    [
        (FLOAT, None, "fp32"),
        (HALF, None, "fp16"),
        (TensorProto.BFLOAT16, None, "bf16"),
        (TensorProto.INT8, None, "int8"),
        (FLOAT, HALF, "fp16+fp32"),
        (FLOAT, TensorProto.BFLOAT16, "bf16+fp32"),
    ],
)
def test_the_precision_is_that_of_the_graph(tmp_path, kind, cast, expected):
    assert graph_precision(with_kernel(write(tmp_path / "a.onnx"), kind, cast=cast)) == expected


def test_a_card_that_the_graph_contradicts_is_reported_by_inspect_and_refused_by_build(tmp_path):
    assert add_card(write(tmp_path / "a.onnx"), tmp_path / "b.onnx").exit_code == 0
    with_kernel(tmp_path / "b.onnx", HALF)
    said = CliRunner().invoke(main, ["inspect", str(tmp_path / "b.onnx")]).output
    assert "the card says fp32, but the graph computes in fp16" in said
    built = CliRunner().invoke(main, ["build", str(tmp_path / "b.onnx"), "-o", str(tmp_path / "b.plan")])
    assert built.exit_code == 1
    assert "the card says fp32" in built.stderr
    assert add_card(tmp_path / "b.onnx", tmp_path / "c.onnx").exit_code == 0
    assert ddpm_rt.open_denoiser(tmp_path / "c.onnx").card.precision == "fp16"


@pytest.mark.parametrize(
    ("said", "found", "agree"),
    [("fp32", "fp32", True), ("fp16", "fp16+fp32", True), ("fp32", "fp32+int8", False), ("fp16", "fp32", False)],
)
def test_parts_left_in_fp32_do_not_contradict_a_card(said, found, agree):
    assert (contradiction(said, found) is None) == agree


def test_the_card_of_the_bundled_model_matches_its_graph():
    model = ddpm_rt.open_denoiser()
    assert contradiction(model.card.precision, graph_precision(model.path)) is None
    assert dataclasses.is_dataclass(model.card)


@pytest.mark.parametrize("content", [b"", b"text", b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x02\x2a\x7f"])
def test_a_file_that_is_not_a_model_has_no_precision(tmp_path, content):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ddpm_rt.DdpmRtError, match="not a whole ONNX model"):
        graph_precision(tmp_path / "a.onnx")
