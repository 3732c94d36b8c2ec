"""Write what the tests of runtime/cpp open: small Gaussian models, sound and broken, with their steps files.

    python scripts/cpp_files.py FOLDER

The models need no training: they are the exact denoisers of Gaussian pixels.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from gaussian_model import gaussian_card, write_gaussian

from ddpm_rt.card import METADATA_KEY, ModelCard
from ddpm_rt.recipe import Recipe
from ddpm_rt.steps_file import write_steps

STEPS = 20
TIMES = {"int32": TensorProto.INT32, "float32": TensorProto.FLOAT}


def set_card(model, text: str) -> None:
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: text})


def with_time(path: Path, type_: int, *, one: bool = False) -> None:
    """Let the graph's t be of another type, or one for all images."""
    model = onnx.load(path)
    graph = model.graph
    graph.input[1].CopyFrom(helper.make_tensor_value_info("t", type_, [] if one else ["batch"]))
    graph.node.insert(0, helper.make_node("Cast", ["t"], ["t64"], to=TensorProto.INT64))
    graph.node[1].input[1] = "t64"
    onnx.save(model, path)


def with_classes(path: Path, card: ModelCard) -> None:
    """out moves with the class: + 0.1 y."""
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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, **options) -> Path:
        return write_gaussian(folder / f"{name}.onnx", **options)

    write("gaussian")
    write("fixed", batch=2)
    for name, type_ in TIMES.items():
        with_time(write(name), type_)
    with_time(write("one_time"), TensorProto.INT64, one=True)
    write("poison", poison_at=49)
    write("no_card", metadata=False)
    broken = onnx.load(write("bad_card"))
    set_card(broken, gaussian_card().to_json()[:-2])
    onnx.save(broken, folder / "bad_card.onnx")
    card = gaussian_card()
    for sampler in ("ddpm", "ddim", "dpm++", "dpm++sde", "lcm"):
        steps = folder / f"{sampler.replace('++', '')}.steps.json"
        write_steps(steps, Recipe(sampler=sampler, steps=STEPS).compiled(card), card)
    # the card says another shape than the graph
    other = gaussian_card(image_shape=(1, 6, 4))
    wrong = onnx.load(folder / "gaussian.onnx")
    set_card(wrong, other.to_json())
    onnx.save(wrong, folder / "other_shape.onnx")
    write_steps(folder / "other_shape.steps.json", Recipe(steps=STEPS).compiled(other), other)
    classes = gaussian_card(classes=3, null_class=2, names={"x": "x", "t": "t", "y": "y", "out": "out"})
    with_classes(write("classes"), classes)
    write_steps(folder / "classes.steps.json", Recipe(steps=STEPS).compiled(classes), classes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
