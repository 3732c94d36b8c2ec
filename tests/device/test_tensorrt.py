"""Plans as device engines, with stand-ins for TensorRT that reject calls out of order, and with the real TensorRT."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_stand_in import ALLOCATIONS
from fake_tensorrt import SCRATCH, expected
from gaussian_model import conditional_card
from plan_bench import FLAVOURS, PROFILES, images

from ddpm_rt import DdpmRtError
from ddpm_rt.device.gpus import gpus
from ddpm_rt.engines.opening import open_device_engine

pytest.importorskip("cuda.core")


@pytest.mark.slow
@pytest.mark.parametrize("module", FLAVOURS)
@pytest.mark.parametrize("count", [1, 3, 16, 17, 40])
def test_any_number_of_images_gives_the_network_s_output(bench, module, count):
    machine = bench(module=module)
    x, t = images(machine.card, count)
    with_copies = machine.denoiser()
    for _ in range(2):  # the second run reuses the buffers of the first
        np.testing.assert_array_equal(with_copies(x, t), expected(x, t))
    with_copies.close()
    assert machine.world.stand_in.live() == []


def test_a_call_waits_for_the_gpu_once(bench):
    machine = bench()
    denoise = machine.denoiser()
    x, t = images(machine.card, 4)
    denoise(x, t)
    before = machine.world.waits
    machine.world.stand_in.mark("again")
    denoise(x, t)
    assert machine.world.waits == before + 1
    assert not set(machine.world.stand_in.calls("again")) & ALLOCATIONS


@pytest.mark.parametrize("time", ["INT64", "INT32", "FLOAT"])
@pytest.mark.parametrize("one_time", [False, True])
def test_t_has_the_type_and_rank_of_the_network(bench, time, one_time):
    machine = bench(time=time, one_time=one_time)
    denoise = machine.denoiser()
    x, t = images(machine.card, 3)
    t = np.full_like(t, 617) if one_time else t
    np.testing.assert_array_equal(denoise(x, t), expected(x, t))
    if one_time:
        with pytest.raises(ValueError, match="one t"):
            denoise(x, np.arange(3))


def test_labels_and_a_learned_variance_work_under_foreign_names(bench):
    names = {"x": "sample", "t": "timestep", "y": "class_labels", "out": "out_sample"}
    machine = bench(conditional_card(variance="learned_range", names=names))
    x, t = images(machine.card, 5)
    y = np.array([0, 1, 2, 3, 1])
    np.testing.assert_array_equal(machine.denoiser()(x, t, y), expected(x, t, y, times=2))


@pytest.mark.parametrize(
    ("profiles", "wanted"),
    [
        (PROFILES, {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 16: 16, 17: 16, 1000: 16}),
        (((1, 1, 1), (16, 16, 16)), {1: 1, 2: 16, 16: 16, 20: 16}),
        (((4, 4, 4),), {1: 4, 4: 4, 5: 4}),
        (((2, 2, 8), (6, 6, 6)), {1: 2, 5: 5, 6: 6, 7: 7, 9: 8}),
    ],
)
def test_the_smallest_sufficient_batch_is_used(bench, profiles, wanted):
    engine = bench(profiles=profiles).open().engine
    assert {count: engine.batch_for(count) for count in wanted} == wanted


def test_the_narrower_of_two_profiles_is_used(bench):
    machine = bench()
    machine.open().engine.scratch_bytes(4)
    assert machine.state.contexts[0].profile == 1  # 4:4:4, not 2:8:16


def test_a_batch_beyond_the_profiles_is_refused(bench):
    machine = bench()
    engine, gpu = machine.open()
    for batch in (0, 17):
        with pytest.raises(ValueError, match=f"no profile with batch {batch}"):
            engine.bind(batch, machine.buffers(gpu, 17))


def test_two_chains_have_a_context_each(bench):
    machine = bench()
    engine, gpu = machine.open()
    assert engine.scratch_bytes(4) == 4 * SCRATCH
    first, second = (engine.bind(4, machine.buffers(gpu, 4)) for _ in range(2))
    assert len(machine.state.contexts) == 2
    first.close()
    second.close()
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.bind(4, machine.buffers(gpu, 4))


def test_an_unbound_context_does_not_run(bench):
    machine = bench()
    engine, gpu = machine.open()
    bound = engine.bind(1, machine.buffers(gpu, 1))
    bound.close()
    with pytest.raises(ValueError, match="unbound"):
        bound.enqueue(int(gpu.create_stream().handle))


def test_a_refused_call_is_an_error_with_the_reason(bench):
    machine = bench()
    denoise = machine.denoiser()
    machine.state.takes = False
    with pytest.raises(DdpmRtError, match="did not take a call: no stream$"):
        denoise(*images(machine.card, 1))
    denoise.close()


def test_missing_scratch_memory_and_addresses_are_refused(bench):
    machine = bench()
    engine, gpu = machine.open()
    with pytest.raises(ValueError, match="1000 bytes of scratch"):
        engine.bind(1, machine.buffers(gpu, 1, scratch=0))
    with pytest.raises(DdpmRtError, match="the address of out"):
        engine.bind(1, machine.buffers(gpu, 1, out=0))


def test_a_static_network_uses_its_batch(bench):
    machine = bench(profiles=((4, 4, 4),), static=4)
    x, t = images(machine.card, 6)
    np.testing.assert_array_equal(machine.denoiser()(x, t), expected(x, t))


@pytest.mark.parametrize("capturable", [True, False])
def test_rtx_is_asked_whether_it_can_be_captured(bench, capturable):
    machine = bench(module="tensorrt_rtx")
    machine.state.capturable = capturable
    engine, gpu = machine.open()
    engine.bind(1, machine.buffers(gpu, 1))
    assert engine.capturable == capturable


def test_code_in_a_plan_never_runs():
    from ddpm_rt import device

    sources = [path.read_text() for path in Path(device.__path__[0]).glob("*.py")]
    assert sources
    assert not any("engine_host_code_allowed" in source for source in sources)


@pytest.fixture(scope="module")
def real_plan(shared):
    """A plan of the bundled model from TensorRT-RTX, which builds without a GPU."""
    from ddpm_export.plans.build import build_plan
    from ddpm_export.plans.build_options import BuildOptions
    from ddpm_rt.models import bundled_model

    def make(folder):
        build_plan(bundled_model(), folder / "unet.plan", BuildOptions(((1, 1, 1),)), flavour="rtx")

    return shared.folder("bundled-plan", make) / "unet.plan"


@pytest.mark.slow
@pytest.mark.skipif(bool(gpus()), reason="there is a driver, so the plan may well be loaded")
def test_the_real_rtx_says_why_it_loads_nothing_without_a_driver(real_plan, monkeypatch):
    gpu = SimpleNamespace(compute_capability=(8, 9))  # the only attribute used before the plan is read
    monkeypatch.setattr("ddpm_rt.engines.opening.open_gpu", lambda number: gpu)
    with pytest.raises(
        DdpmRtError, match="unet.plan, built by TensorRT-RTX .* cannot be loaded .*cudaError (35|100)"
    ) as caught:
        open_device_engine(real_plan)
    assert "\n" not in str(caught.value)
    assert "`ddpm-rt build mnist.onnx -o" in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="there is no GPU")
def test_a_real_plan_gives_the_output_of_the_cpu(tmp_path):
    import ddpm_rt
    from ddpm_export.plans.build import build_plan
    from ddpm_export.plans.build_options import BuildOptions
    from ddpm_rt.models import bundled_model

    path = tmp_path / "unet.plan"
    build_plan(bundled_model(), path, BuildOptions(((1, 1, 1), (2, 4, 16))))
    denoise = ddpm_rt.open_denoiser(path)
    on_cpu = ddpm_rt.open_denoiser(provider="cpu")
    for count in (1, 3, 16, 20):
        x, t = images(denoise.card, count)
        # float32 sums in another order: the tolerance of `ddpm-rt verify` for a step in fp32
        np.testing.assert_allclose(denoise(x, t), on_cpu(x, t), atol=2e-4, rtol=0)
    denoise.close()
