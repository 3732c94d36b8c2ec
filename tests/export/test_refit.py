"""Other weights in a plan: everything but TensorRT's own part, which a stand-in plays that objects to a wrong order."""

import dataclasses
import json

import fake_refitter
import numpy as np
import onnx
import pytest
import tensorrt_rtx
from click.testing import CliRunner
from fake_refitter import plan_bytes, weights_in
from onnx import numpy_helper
from repository import load_script
from tiny_unet import tiny_card, tiny_unet

from ddpm_export import refit_file
from ddpm_export.build_options import BuildOptions
from ddpm_export.graph_identity import graph_of
from ddpm_export.onnx_export import export_onnx
from ddpm_export.plan_builder import build_network
from ddpm_export.plan_file import read_model, unchanged, write_pair
from ddpm_export.refitter import refit_engine
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
from ddpm_rt import DdpmRtError
from ddpm_rt.cli import main
from ddpm_rt.device.tensorrt_log import make_log
from ddpm_rt.files import file_sha256
from ddpm_rt.plan import Build, PlanRecord, network_name, read_plan, sidecar_path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What the plans here were built from: the tiny network in fp16, its time embedding in tables."""
    path = tmp_path_factory.mktemp("source") / "unet.onnx"
    export_onnx(tiny_unet(), tiny_card(), path, precision="fp16", threads=1)
    return path


def make_plan(path, source, **options):
    """A plan of the stand-in's kind, with its record."""
    options = {"batch": None, "refittable": True, "strip_weights": False, "version_compatible": False} | options
    card, onnx_digests = read_model(source)
    replaceable = options["refittable"] or options["strip_weights"]
    build = Build(
        flavour="tensorrt",
        version=fake_refitter.VERSION,
        compute_capabilities=("8.9",),
        profiles=((1, 16, 16),),
        tensors={"x": "fp32", "t": "int64", "out": "fp32"},
        layers={"convolution": {"fp16": 19}},
        options=options,
        onnx=onnx_digests,
        graph=graph_of(source) if replaceable else None,
    )
    weights = fake_refitter.digests(source)
    if options["strip_weights"]:
        weights = dict.fromkeys(weights)
    content = plan_bytes(network_name(card), weights, refittable=replaceable)
    path.write_bytes(content)
    record = PlanRecord(card, build, len(content), file_sha256(path))
    sidecar_path(path).write_text(record.to_json())
    return path


@pytest.fixture
def plan(source, tmp_path):
    return make_plan(tmp_path / "unet.plan", source)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and the TensorRT of the plans."""
    monkeypatch.setattr(refit_file, "gpus", lambda: ["a GPU"])
    monkeypatch.setattr(refit_file, "load_tensorrt", lambda flavour: (flavour, fake_refitter.module()))


def other_weights(source, path, card=None, change=lambda model: None):
    """The same network with weights of 3/4 the size, as another training would give."""
    model, known = onnx.load(source), read_model(source)[0]
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float16(0.75), tensor.name))
    change(model)
    trained = dataclasses.replace(known.provenance, source="longer", weights_sha256="1" * 64)
    card = dataclasses.replace(known, **{"provenance": trained, **(card or {})})
    onnx.helper.set_model_props(model, {"ddpm_rt.card": card.to_json()})
    onnx.save(model, path)
    return path


@pytest.fixture
def other(source, tmp_path_factory):
    return other_weights(source, tmp_path_factory.mktemp("other") / "longer.onnx")


def refit(plan, weights, out, *options):
    return CliRunner().invoke(main, ["refit", *map(str, (plan, "--weights", weights, "-o", out, *options))])


def failed(result, *words):
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.output


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_refitted_plan_holds_the_new_weights_and_their_card_under_the_old_name(gpu, plan, source, other, tmp_path):
    result = refit(plan, other, tmp_path / "new.plan")
    assert result.exit_code == 0, result.output
    assert "longer, weights 111111111111" in result.stdout
    before, after = read_plan(plan), read_plan(tmp_path / "new.plan")
    assert weights_in((tmp_path / "new.plan").read_bytes()) == fake_refitter.digests(other)
    assert weights_in(plan.read_bytes()) == fake_refitter.digests(source)
    assert after.card == read_model(other)[0]
    assert after.name == before.name == network_name(before.card)
    assert after.refit.built_as == before.card.sha256
    assert after.refit.onnx == {"longer.onnx": file_sha256(other)}
    assert after.build == before.build


def test_a_plan_can_be_refitted_over_itself_and_again_and_is_still_called_as_it_was_built(gpu, plan, source, other):
    built_as = read_plan(plan).card.sha256
    for weights in (other, source):
        assert refit(plan, weights, plan).exit_code == 0
        record = read_plan(plan)
        assert record.refit.built_as == built_as
        assert record.card == read_model(weights)[0]
        assert weights_in(plan.read_bytes()) == fake_refitter.digests(weights)


def test_a_checkpoint_is_exported_as_the_plan_s_network_was(gpu, tmp_path):
    """In its precision, for its batch, with its tables: what `ddpm-rt export` gives when it is told so."""
    export_onnx(tiny_unet(), tiny_card(), tmp_path / "unet.onnx", precision="bf16", static_batch=2, threads=1)
    plan, new = make_plan(tmp_path / "unet.plan", tmp_path / "unet.onnx"), tmp_path / "new.plan"
    checkpoint, settings = tmp_path / "longer", (schedules.linear(1000), "eps", "fixed_large", (-1.0, 1.0))
    save_checkpoint(checkpoint, Checkpoint(tiny_unet(seed=1), *settings))
    result = refit(plan, checkpoint, new, "--threads", "1")
    assert result.exit_code == 0, result.output
    exported = tmp_path / "longer.onnx"
    options = ("--precision", "bf16", "--static-batch", "2", "--threads", "1")
    assert CliRunner().invoke(main, ["export", str(checkpoint), "-o", str(exported), *options]).exit_code == 0
    assert weights_in(new.read_bytes()) == fake_refitter.digests(exported)
    assert read_plan(new).refit.onnx == {"longer.onnx": file_sha256(exported)}
    save_checkpoint(checkpoint, Checkpoint(tiny_unet(seed=1), schedules.cosine(1000), *settings[1:]))
    failed(refit(plan, checkpoint, new), "betas are not the plan's")


def test_a_stripped_plan_takes_back_what_it_was_built_from_and_nothing_else(gpu, source, other, tmp_path):
    plan, new = make_plan(tmp_path / "unet.plan", source, refittable=False, strip_weights=True), tmp_path / "new.plan"
    assert not read_plan(plan).has_weights
    failed(refit(plan, other, new), "not what the plan was built from", "--refittable")
    failed(refit(plan, tmp_path, new), "takes back the file it was built from")
    assert refit(plan, source, new).exit_code == 0
    assert weights_in(new.read_bytes()) == fake_refitter.digests(source)
    assert read_plan(new).has_weights
    failed(refit(new, source, new), "got its weights back")


def test_inspect_says_whose_weights_a_plan_holds(gpu, plan, source, other, tmp_path):
    def inspect(path):
        return CliRunner().invoke(main, ["inspect", str(path)]).stdout

    assert "`ddpm-rt refit` replaces them" in inspect(plan)
    refit(plan, other, tmp_path / "new.plan")
    assert f"refitted from longer.onnx {file_sha256(other)}; built as card {read_plan(plan).card.sha256}" in inspect(
        tmp_path / "new.plan"
    )
    stripped = make_plan(tmp_path / "small.plan", source, refittable=False, strip_weights=True)
    assert "none: put them in with `ddpm-rt refit`" in inspect(stripped)


def test_a_refitted_plan_is_not_what_a_build_would_make(gpu, plan, other):
    build = read_plan(plan).build
    wanted = {key: getattr(build, key) for key in ("flavour", "version", "options", "onnx")}
    assert unchanged(plan, wanted) == read_plan(plan)
    refit(plan, other, plan)
    assert unchanged(plan, wanted) is None


def test_the_lean_runtime_stays_out_of_a_version_compatible_plan(gpu, source, other, tmp_path):
    for compatible in (True, False):
        plan = make_plan(tmp_path / "unet.plan", source, version_compatible=compatible)
        assert refit(plan, other, plan).exit_code == 0
        assert (b"lean runtime" in plan.read_bytes()) is not compatible


CARDS = [
    ({"prediction": "v"}, "prediction is v, the plan's eps"),
    ({"variance": "fixed_small"}, "variance is fixed_small"),
    ({"clip": None}, "clip is None"),
    ({"spacing": "leading"}, "spacing is leading"),
    ({"image_shape": (3, 8, 8)}, "image_shape is (3, 8, 8)"),
    ({"classes": 10, "null_class": 9, "names": {"x": "x", "t": "t", "y": "y", "out": "out"}}, "classes is 10"),
    ({"names": {"x": "sample", "t": "t", "out": "out"}}, "names is"),
    ({"betas": tuple(schedules.cosine(1000).tolist())}, "betas are not the plan's"),
    ({"precision": "fp32"}, "--precision fp16"),
]


@pytest.mark.parametrize(("card", "message"), CARDS, ids=lambda value: next(iter(value)) if type(value) is dict else "")
def test_weights_whose_card_differs_are_refused_by_the_field(gpu, plan, source, tmp_path, card, message):
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
    """A kernel of 1 x 1 where there was one of 3 x 3."""
    tensor = next(t for t in model.graph.initializer if t.name == "conv_in.weight")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, :, :1, :1], tensor.name))


def reheaded(model):
    """Attention of other heads, the weights being the same: only the constants of Reshape tell."""
    users = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    tensor = next(t for t in model.graph.initializer if t.name in users and len(numpy_helper.to_array(t)) == 4)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[[0, 2, 1, 3]], tensor.name))


def newer(model):
    model.opset_import[0].version = 19


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed, ("lacks conv_in.weight", "has besides stem.weight")),
        (reshaped, ("in another form conv_in.weight (fp16 16x1x1x1, not fp16 16x1x3x3)",)),
        (reheaded, ("in another graph;",)),
        (newer, ("in another graph, its opset 19, the plan's 18",)),
    ],
)
def test_weights_of_another_network_are_refused_by_their_names(gpu, plan, source, tmp_path, change, words):
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
    """A stand-in one of whose classes does something else."""

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
        (older_tensorrt, "is of TensorRT 11.4.0.106 and runs on no other, here is 11.1.0.106"),
        (no_gpu, "there is none here"),
        (replaced(fake_refitter.Runtime, deserialize_cuda_engine=lambda self, content: None), "cannot open the plan"),
        (replaced(fake_refitter.Refitter, refit_cuda_engine=lambda self: False), "cannot put the weights in"),
        (replaced(fake_refitter.Refitter, get_missing_weights=lambda self: ["a"]), "misses weights in longer.onnx: a"),
        (renaming, "has not kept the network's name"),
    ],
    ids=["no TensorRT", "another TensorRT", "no GPU", "cannot open", "cannot refit", "missing", "without a name"],
)  # fmt: skip
def test_what_a_machine_cannot_do_is_one_line_and_no_file(gpu, plan, other, tmp_path, monkeypatch, machine, message):
    machine(monkeypatch)
    before = contents(tmp_path)
    failed(refit(plan, other, tmp_path / "new.plan"), message)
    assert contents(tmp_path) == before


def test_weights_that_tensorrt_wants_beyond_those_of_the_file_are_named(gpu, source, other, tmp_path):
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
        (lambda plan, weights: plan.write_bytes(b"ftrt"), "holds no network of ddpm-rt"),
        (lambda plan, weights: sidecar_path(plan).unlink(), "is missing"),
        (lambda plan, weights: weights.unlink(), "is not a file"),
        (lambda plan, weights: weights.write_bytes(weights.read_bytes()[:1000]), "no ONNX file"),
        (lambda plan, weights: weights.write_bytes(b""), "not a whole ONNX model"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_one_line_and_no_file(gpu, plan, source, tmp_path, damage, message):
    weights = other_weights(source, tmp_path / "other.onnx")
    damage(plan, weights)
    before = contents(tmp_path)
    failed(refit(plan, weights, tmp_path / "new.plan"), message)
    assert contents(tmp_path) == before


def test_a_folder_that_is_no_checkpoint_is_one_line(gpu, plan, tmp_path):
    (tmp_path / "empty").mkdir()
    failed(refit(plan, tmp_path / "empty", tmp_path / "new.plan"))
    assert not (tmp_path / "new.plan").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["card"].update(prediction="x0"), "was changed"),
        (lambda raw: raw["refit"].update(built_as="0" * 64), "was changed"),
        (lambda raw: raw["refit"].pop("card"), "missing key 'refit.card'"),
        (lambda raw: raw["refit"].update(by=1), "unknown key 'refit.by'"),
        (lambda raw: raw["build"]["graph"].pop("opset"), "missing key 'build.graph.opset'"),
        (lambda raw: raw.update(refit=None), "was changed"),
        (lambda raw: raw.pop("refit"), "missing key 'refit'"),
    ],
)
def test_a_refitted_plan_s_record_is_as_strict_as_any(gpu, plan, other, change, message):
    refit(plan, other, plan)
    raw = json.loads(sidecar_path(plan).read_text())
    change(raw)
    sidecar_path(plan).write_text(json.dumps(raw))
    with pytest.raises(DdpmRtError, match=message):
        read_plan(plan)


def test_a_plan_and_its_refitted_copy_do_not_share_a_record(gpu, plan, other, tmp_path):
    """The network's name is the same in both: the bytes tell."""
    refit(plan, other, tmp_path / "new.plan")
    sidecar_path(plan).replace(sidecar_path(tmp_path / "new.plan"))
    with pytest.raises(DdpmRtError, match="not the plan"):
        read_plan(tmp_path / "new.plan")


def test_the_identity_of_a_graph_is_free_of_its_weights_and_of_names_in_between(source, other, tmp_path):
    assert graph_of(other) == graph_of(source)
    model = onnx.load(source)
    renamed = {name: f"other_{name}" for node in model.graph.node for name in node.output if name != "out"}
    for index, node in enumerate(model.graph.node):
        node.name = str(index)
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    onnx.save(model, tmp_path / "names.onnx")
    assert graph_of(tmp_path / "names.onnx").sha256 == graph_of(source).sha256


def test_the_scales_of_a_resize_belong_to_the_graph_and_its_tables_to_the_weights(source, tmp_path):
    graph, model = graph_of(source), onnx.load(source)
    assert [name for name in graph.weights if name.endswith(".table")]
    scales = next(node.input[2] for node in model.graph.node if node.op_type == "Resize")
    assert scales not in graph.weights
    tensor = next(t for t in model.graph.initializer if t.name == scales)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, scales))
    onnx.save(model, tmp_path / "scales.onnx")
    assert graph_of(tmp_path / "scales.onnx").sha256 != graph.sha256


def test_a_plan_whose_weights_can_be_replaced_has_one_profile(source, tmp_path):
    """More than one is not supported for refittable engines (NvInfer.h, IBuilderConfig::addOptimizationProfile)."""
    with pytest.raises(ValueError, match="one profile"):
        BuildOptions(((1, 1, 1), (4, 4, 4)), refittable=True)
    log = make_log(tensorrt_rtx, None)
    network = build_network(tensorrt_rtx, "rtx", source, "x", BuildOptions(strip_weights=True), None, log=log)
    assert network.profiles == ((1, 16, 16),)


def test_the_real_tensorrt_says_in_one_line_that_it_cannot_open_a_plan_here(plan, source):
    """TensorRT-RTX itself, on bytes that it does not know: the calls before the first that needs a GPU are real."""
    log = make_log(tensorrt_rtx, None)
    with pytest.raises(DdpmRtError, match=r"^tensorrt_rtx [\d.]+ cannot open the plan here: .+; see `ddpm-rt doctor`$"):
        refit_engine(tensorrt_rtx, plan.read_bytes(), read_plan(plan), source, log=log)


def test_the_stand_in_has_no_member_that_the_bindings_are_not_known_to_have():
    script = load_script("check_tensorrt_api")
    for kind in fake_refitter.PARTS:
        public = {name for name in vars(kind) if not name.startswith("_")}
        assert public <= set(script.USED[kind.__name__]), kind


@pytest.mark.parametrize("order", ["no weights", "parser gone", "not refitted"])
def test_the_stand_in_objects_to_a_wrong_order(plan, source, order):
    trt = fake_refitter.module()
    log = make_log(trt, None)
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    refitter = trt.Refitter(engine, log)
    if order == "no weights":
        assert not refitter.refit_cuda_engine()
        assert "missing" in log.errors[0]
    elif order == "parser gone":
        trt.OnnxParserRefitter(refitter, log).refit_from_file(str(source))
        with pytest.raises(fake_refitter.OutOfOrderError, match="parser"):
            refitter.refit_cuda_engine()
    else:
        config = engine.create_serialization_config()
        with pytest.raises(fake_refitter.OutOfOrderError, match="before"):
            engine.serialize_with_config(config)
