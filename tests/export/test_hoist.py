"""A hoisted time embedding matches torch, and is as accurate as in float64."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tiny_unet import tiny_card, tiny_unet

from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_rt import open_denoiser


@pytest.mark.slow
@pytest.mark.parametrize("static_batch", [None, 3])
def test_hoisted_time_gives_the_output_of_torch(tmp_path, exported, static_batch):
    model, path = tiny_unet(), exported("fp32", True)
    if static_batch:
        path = tmp_path / "unet.onnx"
        export_onnx(model, tiny_card(), path, ExportOptions(hoist=True, static_batch=static_batch, threads=1))
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert "Gather" in kinds
    assert not kinds & {"Sin", "Cos", "Gemm"}
    t = np.array([0, 1, 10, 499, 998, 999])
    x = np.random.default_rng(0).standard_normal((len(t), 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(x), torch.from_numpy(t)).numpy()
    # float32 sums in another order, outputs of size one.
    np.testing.assert_allclose(open_denoiser(path, threads=1)(x, t), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_tables_equal_those_of_a_float64_network(exported):
    """The tables are closer to torch's float64 than torch's float32 is, because they are rounded only once."""
    model = tiny_unet()
    tables = {
        tensor.name: numpy_helper.to_array(tensor).reshape(1000, -1)
        for tensor in onnx.load(exported("fp32", True)).graph.initializer
        if tensor.name.endswith(".table")
    }
    seen = {}
    blocks = [m for m in model.modules() if hasattr(m, "time_emb_proj")]
    for precise in (False, True):
        hooks, caught = [], []
        for block in blocks:
            hooks.append(block.time_emb_proj.register_forward_hook(lambda m, i, o, to=caught: to.append(o.numpy())))
        network = model.double() if precise else model.float()
        with torch.no_grad():
            network(torch.zeros(1000, 1, 8, 8, dtype=torch.float64 if precise else None), torch.arange(1000))
        seen[precise] = caught
        for hook in hooks:
            hook.remove()
    assert len(tables) == len(blocks) == 8
    for single, double in zip(seen[False], seen[True], strict=True):
        near = min(tables.values(), key=lambda table: np.abs(table[:, : double.shape[1]] - double).max()
                   if table.shape == double.shape else np.inf)  # fmt: skip
        assert np.abs(near - double).max() < 1e-4
        assert np.sqrt(((near - double) ** 2).mean()) < np.sqrt(((single - double) ** 2).mean()) + 1e-6
