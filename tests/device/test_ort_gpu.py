"""ONNX Runtime's GPU providers as device engines, with a stand-in that runs them on the CPU in stream order."""

import numpy as np
import pytest
from device_world import DeviceWorld, install
from fake_onnxruntime import Session, State, make_onnxruntime
from gaussian_model import write_conditional, write_gaussian

import ddpm_rt
from ddpm_rt import DdpmRtError
from ddpm_rt.device.device_denoiser import DeviceDenoiser
from ddpm_rt.device.device_engine import Buffers
from ddpm_rt.device.gpus import gpus
from ddpm_rt.engines.opening import open_device_engine
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.engines.ort_gpu import provider_options

pytest.importorskip("cuda.core")


@pytest.fixture
def machine(monkeypatch, tmp_path, stand_in):
    """A machine with three GPUs, and an onnxruntime with GPU providers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    world, state = DeviceWorld(stand_in, devices=3), State()
    install(monkeypatch, make_onnxruntime(world, state))
    state.world = world
    return state


def images(path, count):
    card = OrtDenoiser(path).card
    rng = np.random.default_rng(1)
    y = None if card.classes is None else np.arange(count) % card.classes
    return rng.standard_normal((count, *card.image_shape)).astype(np.float32), np.arange(count) * 111 % 1000, y


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
@pytest.mark.parametrize("batch", ["batch", 4])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_images_equal_those_of_the_cpu(machine, tmp_path, provider, batch, count):
    path = write_gaussian(tmp_path / "unet.onnx", batch=batch)
    x, t, _ = images(path, count)
    denoise = DeviceDenoiser(*open_device_engine(path, provider))
    for _ in range(2):
        np.testing.assert_array_equal(denoise(x, t), OrtDenoiser(path)(x, t))
    denoise.close()
    assert machine.world.stand_in.live() == []


@pytest.mark.parametrize("time", ["int64", "int32", "float32", "one int64"])
def test_labels_and_every_type_of_t_work(machine, tmp_path, time):
    path = write_conditional(tmp_path / "unet.onnx", time=time)
    x, t, y = images(path, 3)
    t = np.full_like(t, 500) if "one" in time else t
    denoise = DeviceDenoiser(*open_device_engine(path, "cuda"))
    np.testing.assert_array_equal(denoise(x, t, y), OrtDenoiser(path)(x, t, y))


def test_the_cuda_provider_gets_its_options(machine, gaussian):
    engine = open_device_engine(gaussian, "cuda", 0).engine
    (session,) = machine.sessions
    assert list(session.providers) == ["CUDAExecutionProvider"]
    stream = str(int(engine.stream.handle))
    assert session.options == {"device_id": "0", "user_compute_stream": stream, "use_tf32": "0"}
    assert provider_options("cuda", 2, 7, "fp32")[0][1] == {
        "device_id": "2",
        "user_compute_stream": "7",
        "use_tf32": "0",
    }
    assert not engine.capturable


@pytest.mark.parametrize(("precision", "asked"), [("fp32", set()), ("fp16", {"trt_fp16_enable"})])
def test_the_tensorrt_provider_gets_its_options(machine, tmp_path, precision, asked):
    from gaussian_model import gaussian_card

    path = write_gaussian(tmp_path / "unet.onnx", card=gaussian_card(precision=precision))
    engine = open_device_engine(path, "tensorrt").engine
    options = machine.sessions[0].providers["TensorrtExecutionProvider"]
    assert {name for name in options if name.endswith("16_enable")} == asked
    assert options["trt_engine_cache_path"].startswith(str(tmp_path / "cache"))
    cuda = machine.sessions[0].providers["CUDAExecutionProvider"]
    assert cuda["user_compute_stream"] == str(int(engine.stream.handle))


@pytest.mark.parametrize("sessions_first", [False, True])
def test_a_session_waits_for_the_caller_s_stream_and_the_host_does_not_wait(machine, gaussian, sessions_first):
    engine, gpu = open_device_engine(gaussian, "cuda")
    world, (x, t, _) = machine.world, images(gaussian, 2)
    x_at, t_at, out_at = (world.allocate(gpu, array.nbytes) for array in (x, t, x))
    addresses = Buffers(x=x_at, t=t_at, y=0, out=out_at, scratch=0)
    bound, caller = engine.bind(2, addresses), gpu.create_stream()
    # the input is written on the caller's stream, so the session must come after it
    world.enqueue(caller.handle, lambda: world.view(x_at, np.float32, x.shape).__setitem__(..., x))
    world.enqueue(caller.handle, lambda: world.view(t_at, np.int64, t.shape).__setitem__(..., t))
    before = world.waits
    bound.enqueue(int(caller.handle))
    assert world.waits == before
    if sessions_first:
        engine.stream.sync()
    caller.sync()  # and later work on this stream comes after the session
    np.testing.assert_array_equal(world.view(out_at, np.float32, x.shape), OrtDenoiser(gaussian)(x, t))
    bound.close()
    with pytest.raises(ValueError, match="unbound"):
        bound.enqueue(int(caller.handle))


def test_the_session_does_not_wait_for_its_own_stream(machine, gaussian):
    engine, gpu = open_device_engine(gaussian, "cuda")
    world = machine.world
    bound = engine.bind(1, Buffers(*(world.allocate(gpu, 96) for _ in range(5))))
    bound.enqueue(int(engine.stream.handle))
    assert "cuStreamWaitEvent" not in world.stand_in.calls()
    engine.stream.sync()


def test_a_static_graph_has_one_batch_and_a_closed_engine_refuses_calls(machine, tmp_path):
    engine = open_device_engine(write_gaussian(tmp_path / "unet.onnx", batch=4), "cuda").engine
    assert [engine.batch_for(count) for count in (1, 4, 9)] == [4, 4, 4]
    assert engine.scratch_bytes(4) == 0
    with pytest.raises(ValueError, match="of batch 4 and of no other"):
        engine.bind(5, Buffers(1, 1, 0, 1, 0))
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.bind(4, Buffers(1, 1, 0, 1, 0))


def test_a_dynamic_graph_accepts_any_batch(machine, gaussian):
    engine = open_device_engine(gaussian, "cuda").engine
    assert [engine.batch_for(count) for count in (1, 4, 900)] == [1, 4, 900]


TENSORRT_MISSING = RuntimeError("RegisterTensorRTPluginsAsCustomOps Please install TensorRT libraries as mentioned")
FAULTS = {
    "built without it": ("cuda", {"built_with": ("CPUExecutionProvider",)}, "built without CUDA.*pip install 'ddpm-rt"),
    "no libraries": ("cuda", {"starts": {"CPUExecutionProvider"}}, r"CUDA provider does not start.*\[cuda,cudnn\]"),
    "no TensorRT": ("tensorrt", {"raises": TENSORRT_MISSING}, "TensorRT provider does not start"),
    "only CUDA": ("tensorrt", {"starts": {"CUDAExecutionProvider"}}, "TensorRT provider does not start"),
    "a convolution": ("cuda", {"on_cpu": ["Shape", "Conv", "Conv", "Gather"]}, "CUDA leaves 2 Conv to the CPU"),
    "no model": ("cuda", {"raises": RuntimeError("Protobuf parsing failed.\nmore")}, "not a whole ONNX.*failed.$"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_session_that_would_use_the_cpu_is_a_one_line_error_with_advice(machine, gaussian, capfd, fault):
    provider, spoilt, message = FAULTS[fault]
    vars(machine).update(spoilt)
    with pytest.raises(DdpmRtError, match=message) as caught:
        open_device_engine(gaussian, provider)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # the output of libraries is hidden
    assert machine.world.stand_in.live() == []


def test_nodes_that_compute_shapes_may_be_on_the_cpu(machine, gaussian):
    machine.on_cpu = ["Shape", "Gather", "Concat", "Reshape"]
    open_device_engine(gaussian, "cuda")


def test_a_release_that_cannot_report_node_placement_is_trusted(machine, gaussian, monkeypatch):
    monkeypatch.delattr(Session, "get_provider_graph_assignment_info")
    open_device_engine(gaussian, "cuda")


def test_a_call_that_fails_is_a_one_line_error(machine, gaussian):
    denoise = DeviceDenoiser(*open_device_engine(gaussian, "cuda"))
    machine.fails = True
    with pytest.raises(DdpmRtError, match="did not take a call: CUDNN_STATUS_EXECUTION_FAILED$"):
        denoise(*images(gaussian, 1)[:2])
    denoise.close()


def test_the_queued_work_of_a_failed_call_is_waited_for(machine, gaussian):
    engine, gpu = open_device_engine(gaussian, "cuda")
    bound = engine.bind(1, Buffers(*(machine.world.allocate(gpu, 96) for _ in range(5))))
    caller, ran = gpu.create_stream(), []
    machine.world.enqueue(engine.stream.handle, lambda: ran.append("half a network"))
    machine.fails = True
    with pytest.raises(DdpmRtError, match="did not take a call"):
        bound.enqueue(int(caller.handle))
    caller.sync()  # afterwards its buffers may be freed
    assert ran


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="there is no GPU")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_the_real_providers_give_the_output_of_the_cpu(provider):
    with ddpm_rt.api.opened(provider=provider) as denoise:
        on_cpu = ddpm_rt.open_denoiser(provider="cpu")
        rng = np.random.default_rng(0)
        for count in (1, 3, 16):
            x = rng.standard_normal((count, *denoise.card.image_shape)).astype(np.float32)
            t = np.arange(count) * 61 % 1000
            # float32 sums in another order; TensorRT's provider always uses TF32, which has 10 bits
            tolerance = 2e-4 if provider == "cuda" else 2e-2
            np.testing.assert_allclose(denoise(x, t), on_cpu(x, t), atol=tolerance, rtol=0)
