"""A refit that fails prints one line and leaves no file."""

import dataclasses

import fake_refitter
import pytest
from command import failed
from fake_refitter import plan_bytes, weights_in
from onnx import numpy_helper
from refit_plans import contents, make_plan, other_weights, refit

from ddpm_export.plans import refit as refit_file
from ddpm_export.plans.build import write_pair
from ddpm_ref import betas as schedules
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_record import read_plan, sidecar_path

CARDS = [
    ({"prediction": "v"}, "prediction is v, the plan's eps"),
    ({"variance": "fixed_small"}, "variance is fixed_small"),
    ({"clip": None}, "clip is None"),
    ({"spacing": "leading"}, "spacing is leading"),
    ({"image_shape": (3, 8, 8)}, "image_shape is (3, 8, 8)"),
    ({"classes": 10, "null_class": 9, "names": {"x": "x", "t": "t", "y": "y", "out": "out"}}, "classes is 10"),
    ({"names": {"x": "sample", "t": "t", "out": "out"}}, "names is"),
    ({"betas": tuple(schedules.cosine(1000).tolist())}, "betas are not the plan's"),
    ({"precision": "fp32"}, "the card says fp32, but the graph computes in fp16"),
]


@pytest.mark.parametrize(("card", "message"), CARDS, ids=lambda value: next(iter(value)) if type(value) is dict else "")
def test_weights_with_another_card_are_refused_by_field(gpu, plan, source, tmp_path, card, message):
    weights = other_weights(source, tmp_path / "other.onnx", card)
    before = contents(tmp_path)
    failed(refit(plan, weights, plan), message)
    assert contents(tmp_path) == before


def renamed(model):
    """Another network's names: one weight is missing, one is new."""
    for node in model.graph.node:
        node.input[:] = ["stem.weight" if name == "conv_in.weight" else name for name in node.input]
    tensor = next(t for t in model.graph.initializer if t.name == "conv_in.weight")
    tensor.name = "stem.weight"


def reshaped(model):
    """A kernel of 1 x 1 instead of 3 x 3."""
    tensor = next(t for t in model.graph.initializer if t.name == "conv_in.weight")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, :, :1, :1], tensor.name))


def reheaded(model):
    """Attention with another number of heads: the weights are equal, and only the constants of Reshape differ."""
    users = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    tensor = next(t for t in model.graph.initializer if t.name in users and len(numpy_helper.to_array(t)) == 4)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[[0, 2, 1, 3]], tensor.name))


def newer(model):
    model.opset_import[0].version = 19


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed, ("lacks conv_in.weight", "has the extra stem.weight")),
        (reshaped, ("another type or shape of conv_in.weight (fp16 16x1x1x1, not fp16 16x1x3x3)",)),
        (reheaded, ("in another graph;",)),
        (newer, ("in another graph (opset 19, not 18)",)),
    ],
)
def test_weights_of_another_network_are_refused_by_name(gpu, plan, source, tmp_path, change, words):
    weights = other_weights(source, tmp_path / "other.onnx", change=change)
    before = contents(tmp_path)
    failed(refit(plan, weights, tmp_path / "new.plan"), *words)
    assert contents(tmp_path) == before


def no_tensorrt(monkeypatch):
    def missing(flavour):
        raise DdpmRtError("tensorrt cannot be imported: pip install 'ddpm-rt[tensorrt]'")

    monkeypatch.setattr(refit_file, "load_tensorrt", missing)


def older_tensorrt(monkeypatch):
    module = fake_refitter.module(__version__="11.1.0.106")
    monkeypatch.setattr(refit_file, "load_tensorrt", lambda flavour: (flavour, module))


def no_gpu(monkeypatch):
    monkeypatch.setattr(refit_file, "gpus", list)


def replaced(kind, **members):
    """A stand-in with one replaced class."""

    def change(monkeypatch):
        module = fake_refitter.module(**{kind.__name__: type(kind.__name__, (kind,), members)})
        monkeypatch.setattr(refit_file, "load_tensorrt", lambda flavour: (flavour, module))

    return change


class Renaming(fake_refitter.ICudaEngine):
    def serialize_with_config(self, config):
        return memoryview(b"ftrt without a name")


def renaming(monkeypatch):
    kind = fake_refitter.Runtime
    change = replaced(kind, deserialize_cuda_engine=lambda self, content: Renaming(self, content, self._log))
    change(monkeypatch)


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (no_tensorrt, "ddpm-rt[tensorrt]"),
        (older_tensorrt, "needs TensorRT 11.4.0.106, but 11.1.0.106 is installed"),
        (no_gpu, "no GPU was found"),
        (replaced(fake_refitter.Runtime, deserialize_cuda_engine=lambda self, content: None), "cannot open the plan"),
        (replaced(fake_refitter.Refitter, refit_cuda_engine=lambda self: False), "cannot replace the weights"),
        (
            replaced(fake_refitter.Refitter, get_missing_weights=lambda self: ["a"]),
            "needs weights that longer.onnx lacks: a",
        ),
        (renaming, "did not keep the network's name"),
    ],
    ids=["no TensorRT", "another TensorRT", "no GPU", "cannot open", "cannot refit", "missing", "without a name"],
)  # fmt: skip
def test_a_refit_without_gpu_or_tensorrt_is_a_one_line_error_and_leaves_no_file(
    gpu, plan, other, tmp_path, monkeypatch, machine, message
):
    machine(monkeypatch)
    before = contents(tmp_path)
    failed(refit(plan, other, tmp_path / "new.plan"), message)
    assert contents(tmp_path) == before


def test_weights_that_tensorrt_needs_and_the_file_lacks_are_named(gpu, source, other, tmp_path):
    plan = make_plan(tmp_path / "unet.plan", source)
    record = read_plan(plan)
    weights = {**weights_in(plan.read_bytes()), "made by the parser": "0"}
    content = plan_bytes(record.name, weights)
    plan.write_bytes(content)
    write_pair(plan, content, dataclasses.replace(record, bytes=len(content), sha256=file_sha256(plan)))
    failed(refit(plan, other, plan), "Failed to refit all the weights. (without made by the parser)")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda plan, weights: make_plan(plan, weights, refittable=False), "takes no new weights; build it with"),
        (lambda plan, weights: plan.write_bytes(b"ftrt"), "contains no ddpm-rt network"),
        (lambda plan, weights: sidecar_path(plan).unlink(), "is missing"),
        (lambda plan, weights: weights.unlink(), "is not a file"),
        (lambda plan, weights: weights.write_bytes(weights.read_bytes()[:1000]), "not a whole ONNX model"),
        (lambda plan, weights: weights.write_bytes(b""), "not a whole ONNX model"),
    ],
)
def test_wrong_files_are_a_one_line_error_and_leave_no_file(gpu, plan, source, tmp_path, damage, message):
    weights = other_weights(source, tmp_path / "other.onnx")
    damage(plan, weights)
    before = contents(tmp_path)
    failed(refit(plan, weights, tmp_path / "new.plan"), message)
    assert contents(tmp_path) == before


def test_a_folder_that_is_not_a_checkpoint_is_a_one_line_error(gpu, plan, tmp_path):
    (tmp_path / "empty").mkdir()
    failed(refit(plan, tmp_path / "empty", tmp_path / "new.plan"))
    assert not (tmp_path / "new.plan").exists()
