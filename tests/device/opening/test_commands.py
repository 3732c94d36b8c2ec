"""The commands and the Python interface draw images on a GPU that are bit-equal to those of the CPU."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from command import run
from fake_tensorrt import expected
from gaussian_model import gaussian_card, write_gaussian

import ddpm_rt
from ddpm_rt import Request

pytest.importorskip("cuda.core")


@pytest.mark.slow
@pytest.mark.parametrize("verb", [(), ("--sampler", "ddpm", "--steps", 7), ("--stream-steps",)])
def test_the_command_draws_the_same_images_on_gpu_and_cpu(machine, gaussian, tmp_path, verb):
    for provider in ("cpu", "cuda"):
        result = run("sample", "--engine", gaussian, "--provider", provider, *verb, "--count", 3,
                     "--out", tmp_path / f"{provider}.npy")  # fmt: skip
        assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(np.load(tmp_path / "cpu.npy"), np.load(tmp_path / "cuda.npy"))
    assert machine.world.stand_in.live() == []  # given back


@pytest.mark.slow
def test_a_plan_is_sampled_by_a_graph_of_tensorrt_and_our_step(rtx, plan, machine, tmp_path):
    stand_in = machine.world.stand_in
    result = run("sample", "--engine", plan, "--steps", 20, "--count", 3, "--seed", 5, "--out", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    request = Request(steps=20, count=3, seed=5)
    network = Known(lambda x, t: expected(x, t), gaussian_card())
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), request.drawn(network))
    assert stand_in.calls().count("cuGraphLaunch") == 20
    assert stand_in.live() == []


@pytest.mark.slow
def test_a_plan_that_cannot_be_captured_is_sampled_step_by_step(rtx, plan, machine, tmp_path):
    rtx.capturable = False
    result = run("sample", "--engine", plan, "--steps", 20, "--count", 3, "--out", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    calls = machine.world.stand_in.calls()
    assert "cuGraphLaunch" not in calls
    assert calls.count("cuLaunchKernel") >= 20


@pytest.mark.slow
@pytest.mark.parametrize("out", ["x.gif", "x.png", "folder"])
def test_every_kind_of_output_is_made_on_the_gpu(machine, gaussian, tmp_path, out):
    for provider in ("cpu", "cuda"):
        (tmp_path / provider).mkdir()
        result = run("sample", "--engine", gaussian, "--provider", provider, "--steps", 6, "--count", 3, "--batch", 2,
                     "--out", tmp_path / provider / out)  # fmt: skip
        assert result.exit_code == 0, result.output
    for path in sorted(path for path in (tmp_path / "cpu").rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "cuda" / path.relative_to(tmp_path / "cpu")).read_bytes()


def test_masks_and_interpolation_run_the_host_loop_with_the_network_on_the_gpu(machine, gaussian):
    images = np.zeros((1, 1, 4, 6), np.float32)
    mask = np.arange(24).reshape(4, 6) % 2 == 0
    cpu, cuda = (ddpm_rt.open_denoiser(gaussian, provider=provider) for provider in ("cpu", "cuda"))
    request = Request(steps=5, count=2)
    for drawn in (
        lambda engine: ddpm_rt.inpaint(images, mask, engine, request=request),
        lambda engine: ddpm_rt.interpolate(0, 3, engine, frames=3, request=request),
    ):
        np.testing.assert_array_equal(drawn(cuda), drawn(cpu))
    assert "ddpm_rt_step" not in machine.world.stand_in.runs()
    cuda.close()


@pytest.mark.slow
def test_the_python_interface_takes_the_same_options(machine, gaussian):
    drawn = [ddpm_rt.sample(gaussian, steps=3, provider=provider) for provider in ("cpu", "cuda")]
    np.testing.assert_array_equal(*drawn)
    assert ddpm_rt.open_denoiser(gaussian, provider="cuda", stream_steps=True).loop.mode == "stream"


class Known(NamedTuple):
    """An engine on the host."""

    function: Callable[..., Any]
    card: ddpm_rt.ModelCard

    def __call__(self, x, t, y=None, /):
        return self.function(x, t)


@pytest.mark.slow
def test_a_plan_is_verified_against_its_onnx_file_on_the_cpu(rtx, plan, gaussian):
    """The stand-in's plan computes another function than the model, so the verdict must be `different`."""
    result = run("verify", plan, "--engine-b", gaussian, "--provider", "cpu", "--sampler", "ddim", "--steps", 3)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("different: x is off")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("cuMemAllocFromPoolAsync", 2, "the GPU is out of memory; ask for smaller batches"),
        ("cuLibraryLoadData", 209, "the driver does not take the kernels for sm_89; a newer one may"),
        ("cuLaunchKernel", 701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
    ],
)
def test_a_request_that_the_gpu_refuses_is_a_one_line_error_and_leaves_no_file(
    machine, gaussian, tmp_path, name, error, words
):
    stand_in = machine.world.stand_in
    stand_in.fail(name, error)
    result = run("sample", "--engine", gaussian, "--provider", "cuda", "--out", tmp_path / "x.png")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
    assert stand_in.live() == []


@pytest.mark.slow
def test_an_output_that_is_not_finite_is_a_one_line_error_and_leaves_no_file(machine, tmp_path):
    path = write_gaussian(tmp_path / "unet.onnx", poison_at=599)
    result = run("sample", "--engine", path, "--provider", "cuda", "--steps", 10, "--out", tmp_path / "x.png")
    assert result.exit_code == 1
    assert (
        result.stderr == "Error: the network's output of sample 0 is not finite at step 4, t = 599; check the model\n"
    )
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_the_complete_batches(machine, gaussian, tmp_path, monkeypatch):
    from ddpm_rt.device.chain import DeviceChain

    result, runs = DeviceChain.result, []

    def interrupted(self, *arguments):
        runs.append(self)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return result(self, *arguments)

    monkeypatch.setattr(DeviceChain, "result", interrupted)
    asked = ("sample", "--engine", gaussian, "--provider", "cuda", "--steps", 5, "--count", 6, "--batch", 2)
    stopped = run(*asked, "--out", tmp_path / "folder")
    assert stopped.exit_code == 130
    assert "2 of 6 images are in" in stopped.stderr
    assert machine.world.stand_in.live() == []
    assert run(*asked, "--out", tmp_path / "folder").exit_code == 0
    assert len(list((tmp_path / "folder").iterdir())) == 6


def test_steps_are_compiled_for_a_plan_without_a_gpu(plan, gaussian, tmp_path):
    for model, name in ((plan, "a"), (gaussian, "b")):
        result = run("steps", model, "--steps", 5, "-o", tmp_path / f"{name}.steps.json")
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a.steps.json").read_text() == (tmp_path / "b.steps.json").read_text()
