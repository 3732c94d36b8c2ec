"""Write the models, plans, steps files and pictures that the tests of runtime/cpp open: valid and damaged ones.

    python scripts/cpp_files.py FOLDER

The models need no training: they are the exact denoisers of Gaussian pixels.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from condition_files import super_resolution_card, write_decoder, write_denoiser, write_super_resolution
from cpp_pictures import MIDDLE, write_pictures
from gaussian_model import gaussian_card, write_gaussian
from other_kinds import SIGMAS, flow_card, sigma_card

from ddpm_rt.artifacts.card import METADATA_KEY, ModelCard
from ddpm_rt.artifacts.card_facts import InputFacts, Latents
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.fitted_tables import METADATA_PREFIX, embed
from ddpm_rt.artifacts.onnx_metadata import write_metadata
from ddpm_rt.artifacts.plan_build import Build, Flavour, Profile, Refit
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, sidecar_path
from ddpm_rt.artifacts.steps_file import steps_text, write_steps
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess

STEPS = 20
SHAPES = {"sequence": (2, 256), "volume": (1, 32, 32, 32), "image": (1, 4, 6), "color": (3, *MIDDLE)}
TIMES = {"int32": TensorProto.INT32, "float32": TensorProto.FLOAT}

Target = tuple[Flavour, str]  # flavour of TensorRT, compute capability


def set_card(model, text: str) -> None:
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: text})


def with_time(path: Path, type_: int, shape: tuple[int | str, ...] = ("batch",)) -> None:
    """Change the type and shape of the graph's t in place: [] and [1] are one value for all images."""
    model = onnx.load(path)
    graph = model.graph
    graph.input[1].CopyFrom(helper.make_tensor_value_info("t", type_, shape))
    graph.node.insert(0, helper.make_node("Cast", ["t"], ["t64"], to=TensorProto.INT64))
    graph.node[1].input[1] = "t64"
    onnx.save(model, path)


def with_classes(path: Path, card: ModelCard) -> None:
    """Make the output depend on the class, by adding 0.1 y, in place."""
    model = onnx.load(path)
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info("y", TensorProto.INT64, ["batch"]))
    graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "tenth"))
    graph.node[-1].output[0] = "plain"
    graph.node.extend(
        [
            helper.make_node("Cast", ["y"], ["label"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["label", "tenth"], ["little"]),
            helper.make_node("Reshape", ["little", "per_image"], ["move"]),
            helper.make_node("Add", ["plain", "move"], ["out"]),
        ]
    )
    set_card(model, card.to_json())
    onnx.save(model, path)


def with_integer(path: Path, name: str, type_: int, card: ModelCard) -> None:
    """Make the float32 input `name` an integer, in place."""
    model = onnx.load(path)
    graph = model.graph
    (found,) = [one for one in graph.input if one.name == name]
    found.type.tensor_type.elem_type = type_
    for node in graph.node:
        node.input[:] = ["as float" if one == name else one for one in node.input]
    graph.node.insert(0, helper.make_node("Cast", [name], ["as float"], to=TensorProto.FLOAT))
    set_card(model, card.to_json())
    onnx.save(model, path)


def write_table(folder: Path, name: str, card: ModelCard, **options) -> None:
    write_steps(folder / f"{name}.steps.json", SamplerOptions(**{"steps": STEPS} | options).compile(card), card)


def write_told(path: Path, card: ModelCard) -> Path:
    """The network of `write_denoiser` with a card; for other processes than noise levels any network does."""
    model = onnx.load(write_denoiser(path))
    set_card(model, card.to_json())
    onnx.save(model, path)
    return path


def write_starts(folder: Path) -> None:
    """Images, masks and noise to start from, for five samples."""
    values = np.random.default_rng(1)
    for name, shape in (SHAPES | {"sigma": (1, 5, 6)}).items():
        np.save(folder / f"start-{name}.npy", values.uniform(-1, 1, (5, *shape)).astype(np.float32))
        np.save(folder / f"mask-{name}.npy", values.random(shape[1:]) < 0.5)
        np.save(folder / f"noise-{name}.npy", values.standard_normal((5, *shape)).astype(np.float32))


def write_other_kinds(folder: Path) -> None:
    """Networks that take named inputs and a previous x0, of several ranks, and one that is told its noise level."""
    values = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        write_super_resolution(folder / f"{name}.onnx", shape)
        for sampler in ("ddpm", "ddim"):
            write_table(folder, f"{name}-{sampler}", super_resolution_card(shape), sampler=sampler)
        np.save(folder / f"{name}.npy", values.uniform(-1, 1, (3, *shape)))
    write_super_resolution(folder / "fixed_sequence.onnx", SHAPES["sequence"], batch=2)
    facts = {"image_shape": (1, 5, 6), "names": {"x": "noisy", "t": "sigma", "out": "denoised"}}
    for kind, type_ in (("float32", 0), ("int64", TensorProto.INT64), ("int32", TensorProto.INT32)):
        card = sigma_card(**facts, inputs={"difficulty": InputFacts(kind, ())})
        path = write_told(folder / f"sigma-{kind}.onnx", card)
        if type_:
            with_integer(path, "difficulty", type_, card)
        for sampler, steps in {"dpm++": STEPS, "euler-a": STEPS, "consistency": 3}.items():
            write_table(folder, f"sigma-{kind}-{sampler.replace('++', '')}", card, sampler=sampler, steps=steps)
    facts["inputs"] = {"difficulty": InputFacts("float32", ())}
    edm = SigmaProcess(0.002, 80.0, time="log_sigma", time_scale=0.25, sigma_data=0.5)
    cards = {"edm": sigma_card(**facts, process=edm, prediction="edm")}
    cards["flow"] = flow_card(**facts, process=FlowProcess(time="1-t", time_scale=10.0, shift=3.0))
    for name, card in cards.items():
        write_told(folder / f"{name}.onnx", card)
        write_table(folder, name, card, sampler="euler-a")
    np.save(folder / "difficulty.npy", np.array([1, 20, 42, 3, 7], ">i2"))
    np.save(folder / "fortran.npy", np.asfortranarray(values.uniform(-1, 1, SHAPES["sequence"]).astype(np.float16)))
    latents = gaussian_card(image_shape=(4, 2, 3), latents=Latents(2.0, 0.5, "decoder.onnx"))
    write_decoder(folder / "decoder.onnx")
    write_gaussian(folder / "latents.onnx", card=latents)
    write_table(folder, "latents", latents, sampler="ddim")
    np.save(folder / "start-latents.npy", np.full((4, 2, 3), 4.0, np.float32))  # beyond [-1, 1]
    write_table(folder, "fractional", gaussian_card(spacing="karras"), sampler="dpm++")
    for name, type_ in {"fractional": TensorProto.FLOAT, "fractional_int64": TensorProto.INT64}.items():
        path = write_gaussian(folder / f"{name}.onnx", card=gaussian_card(spacing="karras"))
        with_time(path, type_)


def write_plan(
    path: Path, card: ModelCard, *, time: str = "int64 1 -1", more: str = "", magic: str = "ftrt stand-in",
    profiles: tuple[Profile, ...] = ((1, 1, 1), (1, 2, 4)), target: Target = ("tensorrt", "8.9"),
    built_as: ModelCard | None = None, refitted: bool = False, **options: object,
) -> None:  # fmt: skip
    """Write a plan, as the text that runtime/cpp/tests/tensorrt_stand_in reads, and its record."""
    sides = " ".join(map(str, card.image_shape))
    channels, *rest = card.image_shape
    out = " ".join(map(str, (channels * (2 if card.variance.startswith("learned") else 1), *rest)))
    lines = [magic, f"name {network_name(built_as or card)}", "scratch 100", more]
    lines += [f"profile {low} {high}" for low, _, high in profiles]
    rank = 1 + len(card.image_shape)
    lines += [f"tensor x input float {rank} -1 {sides}", f"tensor t input {time}"]
    lines.append(f"tensor out output float {rank} -1 {out}")
    if card.classes is not None:
        lines.append("tensor y input int64 1 -1")
    for name, one in card.inputs.items():
        kind = one.dtype.replace("float32", "float")
        lines.append(" ".join(map(str, ("tensor", name, "input", kind, 1 + len(one.shape), -1, *one.shape))))
    path.write_text("\n".join(lines) + "\n")
    flavour, capability = target
    build = Build(flavour, "10.3.0.26", (capability,), profiles, {}, {}, options, {})
    refit = Refit((built_as or card).sha256, card.sha256, {}) if refitted else None
    record = PlanRecord(card, build, path.stat().st_size, file_sha256(path), refit)
    sidecar_path(path).write_text(record.to_json())


def write_plans_of_other_kinds(folder: Path) -> None:
    shape = (2, 5)
    inputs = {
        "number": InputFacts("int64", ()),
        "image": InputFacts("float32", shape),
        "before": InputFacts("float32", shape, "prev_x0"),
        "third": InputFacts("int32", (1, 3)),
    }
    facts = {"image_shape": shape, "clip": (-1.0, 1.0), "inputs": inputs}
    card, names = gaussian_card(**facts), {"x": "x", "t": "t", "y": "y", "out": "out"}
    write_plan(folder / "conditions.plan", card)
    write_plan(folder / "conditions-four.plan", card, profiles=((4, 4, 4), (8, 8, 8)))
    classes = gaussian_card(**facts, classes=3, names=names)
    write_plan(folder / "conditions-classes.plan", classes, profiles=((1, 4, 8),))
    for name, one in {"conditions": card, "conditions-four": card, "conditions-classes": classes}.items():
        write_table(folder, name, one, sampler="dpm++")
    levels = sigma_card(process=SIGMAS, image_shape=(2, 7))
    write_plan(folder / "levels.plan", levels, time="float 1 -1")
    write_table(folder, "levels", levels, sampler="dpm++")
    write_table(folder, "levels-noise", levels, sampler="euler-a")


def write_tuned(folder: Path, card: ModelCard) -> None:
    """Models that contain tables, as `ddpm-rt tune --embed` leaves them, and damaged ones."""
    tables = [SamplerOptions(sampler="ddim", steps=steps).compile(card) for steps in (9, STEPS)]
    models = [write_gaussian(folder / "tuned.onnx"), folder / "tuned.plan"]
    write_plan(models[1], card)
    for model in models:
        for table in tables:
            embed(model, table, card)
    text = steps_text(tables[1], card)
    others = {"wrong_calls": {"30": text}, "cut_table": {str(STEPS): text[:100]}, "no_number": {"x": text}}
    for name, found in others.items():
        path = write_gaussian(folder / f"{name}.onnx")
        write_metadata(path, {METADATA_PREFIX + rows: content for rows, content in found.items()})


def write_plans(folder: Path, card: ModelCard, classes: ModelCard) -> None:
    write_plan(folder / "toy.plan", card)
    write_plan(folder / "four.plan", card, profiles=((4, 4, 4),))
    write_plan(folder / "int32.plan", card, time="int32 0")
    write_plan(folder / "list_of_one_time.plan", card, time="int64 1 1")
    write_plan(folder / "float32.plan", card, time="float 1 -1", more="no_capture")
    write_plan(folder / "poison.plan", card, more="poison 49")
    write_plan(folder / "classes.plan", classes, profiles=((1, 4, 8),))
    write_plan(folder / "single.plan", classes, profiles=((1, 1, 1),))
    learned = gaussian_card(image_shape=(3, 5, 7), variance="learned_range")
    write_plan(folder / "learned.plan", learned)
    write_steps(folder / "learned.steps.json", SamplerOptions(steps=STEPS).compile(learned), learned)
    write_plan(folder / "other_name.plan", card, built_as=classes)
    write_plan(folder / "refitted.plan", card, built_as=classes, refitted=True, strip_weights=True)
    write_plan(folder / "stripped.plan", card, strip_weights=True)
    write_plan(folder / "other_time.plan", card, time="half 1 -1")
    write_plan(folder / "other_gpu.plan", card, target=("tensorrt", "9.0"))
    write_plan(folder / "newer_gpu.plan", card, target=("tensorrt", "8.0+"))
    write_plan(folder / "rtx.plan", card, target=("rtx", "8.9"))
    write_plan(folder / "no_plan.plan", card, magic="ftrt of another release")
    for name in ("changed", "changed_card", "laid_out", "alone"):
        write_plan(folder / f"{name}.plan", card)
    content = (folder / "changed.plan").read_text()
    (folder / "changed.plan").write_text(content.replace("scratch 100", "scratch 900"))
    sidecar = sidecar_path(folder / "changed_card.plan")
    sidecar.write_text(sidecar.read_text().replace('"trailing"', '"leading"'))
    sidecar = sidecar_path(folder / "laid_out.plan")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text())))
    sidecar_path(folder / "alone.plan").unlink()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, **options) -> Path:
        return write_gaussian(folder / f"{name}.onnx", **options)

    write("gaussian")
    write("fixed", batch=2)
    write("empty_batch", batch=0)
    for name, type_ in TIMES.items():
        with_time(write(name), type_)
    for name, shape in {"one_time": (), "list_of_one_time": (1,), "two_times": (2,), "square_time": (1, 1)}.items():
        with_time(write(name), TensorProto.INT64, shape)
    write("poison", poison_at=49)
    write("no_card", metadata=False)
    broken = onnx.load(write("bad_card"))
    set_card(broken, gaussian_card().to_json()[:-2])
    onnx.save(broken, folder / "bad_card.onnx")
    card = gaussian_card()
    for sampler in ("ddpm", "ddim", "dpm++", "dpm++sde", "lcm"):
        steps = folder / f"{sampler.replace('++', '')}.steps.json"
        write_steps(steps, SamplerOptions(sampler=sampler, steps=STEPS).compile(card), card)
    # the card's shape differs from the graph's
    other = gaussian_card(image_shape=(1, 6, 4))
    wrong = onnx.load(folder / "gaussian.onnx")
    set_card(wrong, other.to_json())
    onnx.save(wrong, folder / "other_shape.onnx")
    write_steps(folder / "other_shape.steps.json", SamplerOptions(steps=STEPS).compile(other), other)
    classes = gaussian_card(classes=3, null_class=2, names={"x": "x", "t": "t", "y": "y", "out": "out"})
    with_classes(write("classes"), classes)
    write_steps(folder / "classes.steps.json", SamplerOptions(steps=STEPS).compile(classes), classes)
    write_tuned(folder, card)
    write_plans(folder, card, classes)
    write_other_kinds(folder)
    write_plans_of_other_kinds(folder)
    write_starts(folder)
    write_pictures(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
