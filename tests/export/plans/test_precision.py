"""Plans of every precision: the types of their layers, and the GPUs that support them."""

import pytest
from damaged_onnx import changed, fp8

from ddpm_export.plans.build import build_plan
from ddpm_export.plans.build_options import BuildOptions
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.plan_record import read_plan


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("capabilities", [(), ("8.9",)])
def test_the_plan_of_the_bundled_network_has_the_requested_precision(digits, tmp_path, precision, capabilities):
    options = BuildOptions(((1, 1, 1), (1, 8, 64)) if capabilities else ((16, 16, 16),), capabilities)
    record, _ = build_plan(digits / f"{precision}.onnx", tmp_path / "unet.plan", options)
    layers = read_plan(tmp_path / "unet.plan").build.layers
    assert record.card.precision == precision
    assert layers["convolution"] == {precision: 36}
    assert set(layers["matrix_multiply"]) == {precision}
    assert set(layers["softmax"]) == set(layers["normalization"]) == {"fp32"}
    assert set(layers["resize"]) == {"fp16" if precision == "fp16" else "fp32"}
    assert record.build.tensors == {"x": "fp32", "t": "int64", "out": "fp32"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_plan_of_the_cifar10_network_has_the_requested_precision(photos, tmp_path, precision):
    source = photos / f"{precision}.onnx"
    record, _ = build_plan(source, tmp_path / "unet.plan", BuildOptions(((1, 1, 1),), ("8.6", "8.9")))
    layers = record.build.layers
    # 22 residual blocks with two each, 13 shortcuts, 3 down, 3 up, the first and the last (Ho et al. 2020, appendix B).
    assert layers["convolution"] == {precision: 2 * 22 + 13 + 3 + 3 + 2}
    assert set(layers["softmax"]) == set(layers["normalization"]) == {"fp32"}
    # All weights in bytes of the type, except the 2.9 million of the time embedding, which are tables here.
    least = (35_746_307 - 3_000_000) * (4 if precision == "fp32" else 2)
    assert source.stat().st_size > least
    assert record.bytes > least


@pytest.mark.slow
def test_turing_builds_hoisted_float16_and_explains_why_not_float32(digits, tmp_path):
    """TensorRT-RTX has no float32 matrix product for compute capability 7.5."""
    options = BuildOptions(((1, 1, 1),), ("7.5",))
    build_plan(digits / "fp16.onnx", tmp_path / "unet.plan", options)
    assert read_plan(tmp_path / "unet.plan").build.compute_capabilities == ("7.5",)
    with pytest.raises(DdpmRtError, match=r"node_MatMul_\d+.*FP32 GEMM is not supported; .*--precision fp16"):
        build_plan(digits / "fp32.onnx", tmp_path / "other.plan", options)


@pytest.mark.slow
def test_the_largest_batch_and_workspace_are_accepted(tiny, tmp_path):
    options = BuildOptions(((1, 1, 65535),), ("8.9",), workspace=2**43 - 1)
    record, _ = build_plan(tiny, tmp_path / "unet.plan", options)
    assert record.build.profiles == ((1, 1, 65535),)


@pytest.mark.slow
def test_fp8_builds_for_the_gpus_that_have_it(tiny, tmp_path):
    """The graph is refused for 8.6 only because of the GPU."""
    source = changed(tiny, tmp_path / "unet.onnx", fp8)
    build_plan(source, tmp_path / "unet.plan", BuildOptions(((1, 1, 1),), ("8.9",)))
