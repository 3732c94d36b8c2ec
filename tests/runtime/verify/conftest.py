"""Engines that are equal, or differ by a known error."""

import numpy as np
import onnx
import pytest
from gaussian_model import gaussian_card, write_gaussian
from verify_command import OFFSET


@pytest.fixture(scope="session")
def engines(tmp_path_factory):
    """The Gaussian model; the same with `out` raised by OFFSET from t = 499 down; and one that is NaN at t = 599."""
    folder = tmp_path_factory.mktemp("engines")
    paths = {name: folder / f"{name}.onnx" for name in ("right", "raised", "nan", "fp16")}
    write_gaussian(paths["right"])
    write_gaussian(paths["nan"], poison_at=599)
    write_gaussian(paths["fp16"], card=gaussian_card(precision="fp16"))
    model = onnx.load(write_gaussian(paths["raised"]))
    offset = np.where(np.arange(1000) <= 499, OFFSET, 0).astype(np.float32)
    helper, graph = onnx.helper, model.graph
    graph.initializer.append(onnx.numpy_helper.from_array(offset, "offset"))
    graph.node[-1].output[0] = "before"
    graph.node.extend(
        [
            helper.make_node("Gather", ["offset", "t"], ["some"]),
            helper.make_node("Reshape", ["some", "per_image"], ["raise"]),
            helper.make_node("Add", ["before", "raise"], ["out"]),
        ]
    )
    onnx.save(model, paths["raised"])
    return paths
