"""Plans as engines on a device, in stand-ins for TensorRT that fail on any call out of order, and in the real one."""

import dataclasses
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import World, install, make_cuda_core
from fake_tensorrt import SCRATCH, State, expected, make_tensorrt, network_of
from gaussian_model import conditional_card, gaussian_card

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_record import Build, PlanRecord, network_name, read_plan, sidecar_path
from ddpm_rt.device.device_denoiser import DeviceDenoiser
from ddpm_rt.device.device_engine import Buffers
from ddpm_rt.device.gpus import gpus
from ddpm_rt.engines.opening import open_device_engine

PROFILES = ((1, 1, 1), (4, 4, 4), (2, 8, 16))
FLAVOURS = {"tensorrt": "tensorrt", "tensorrt_lean": "tensorrt", "tensorrt_rtx": "rtx"}


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Makes a plan, and the machine that it is opened on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(card=None, *, module="tensorrt", here=None, capability=(8, 9), profiles=PROFILES, build=None, **network):
        card = card or gaussian_card()
        bench = Bench(tmp_path / "unet.plan", World(capability), State(network_of(card, **network), profiles), card)
        options = {"batch": "1,4,2:8:16", "tf32": False, "version_compatible": module == "tensorrt_lean"}
        bench.write({"flavour": FLAVOURS[module], "profiles": profiles, "options": options} | (build or {}))
        install(monkeypatch, make_cuda_core(bench.world))
        for name in FLAVOURS:  # none but the one that is wanted can be imported
            monkeypatch.setitem(sys.modules, name, None)
        if here != "none":
            install(monkeypatch, make_tensorrt(bench.world, bench.state, name=module, version=here or "10.3.0"))
        return bench

    return make


class Bench:
    def __init__(self, path, world, state, card):
        self.path, self.world, self.state, self.card = path, world, state, card

    def write(self, changes):
        content = b"ftrt" + network_name(self.card).encode() + b"\0" * 100
        self.path.write_bytes(content)
        known = {"version": "10.3.0", "compute_capabilities": ("8.9",), "tensors": {}, "layers": {}}
        build = Build(**(known | {"onnx": {"unet.onnx": "1" * 64}} | changes))
        record = PlanRecord(self.card, build, len(content), file_sha256(self.path))
        sidecar_path(self.path).write_text(record.to_json())

    def open(self):
        return open_device_engine(self.path)

    def denoiser(self):
        return DeviceDenoiser(*self.open())

    def buffers(self, batch, **changes):
        """Room for a batch of the Gaussian model."""
        sizes = {"x": batch * 96, "t": batch * 8, "out": batch * 96, "scratch": batch * SCRATCH}
        return Buffers(**({"y": 0} | {name: self.world.allocate(size) for name, size in sizes.items()} | changes))


def images(card, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *card.image_shape)).astype(np.float32), np.arange(count) * 37 % 1000


@pytest.mark.parametrize("module", FLAVOURS)
@pytest.mark.parametrize("count", [1, 3, 16, 17, 40])
def test_any_number_of_images_comes_out_as_the_network_has_it(bench, module, count):
    machine = bench(module=module)
    x, t = images(machine.card, count)
    with_copies = machine.denoiser()
    for _ in range(2):  # the second time with the buffers of the first
        np.testing.assert_array_equal(with_copies(x, t), expected(x, t))
    with_copies.close()
    assert machine.world.allocations == {}


def test_a_call_waits_for_the_gpu_once(bench):
    machine = bench()
    denoise = machine.denoiser()
    x, t = images(machine.card, 4)
    denoise(x, t)
    before, rooms = machine.world.syncs, len(machine.world.allocations)
    denoise(x, t)
    assert machine.world.syncs == before + 1
    assert len(machine.world.allocations) == rooms


@pytest.mark.parametrize("time", ["INT64", "INT32", "FLOAT"])
@pytest.mark.parametrize("one_time", [False, True])
def test_time_is_told_in_the_type_and_rank_of_the_network(bench, time, one_time):
    machine = bench(time=time, one_time=one_time)
    denoise = machine.denoiser()
    x, t = images(machine.card, 3)
    t = np.full_like(t, 617) if one_time else t
    np.testing.assert_array_equal(denoise(x, t), expected(x, t))
    if one_time:
        with pytest.raises(ValueError, match="one t"):
            denoise(x, np.arange(3))


def test_labels_and_a_learned_variance_under_foreign_names(bench):
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
def test_the_smallest_batch_that_holds_the_images_is_taken(bench, profiles, wanted):
    engine = bench(profiles=profiles).open().engine
    assert {count: engine.batch_for(count) for count in wanted} == wanted


def test_of_two_profiles_the_narrower_is_used(bench):
    machine = bench()
    machine.open().engine.scratch_bytes(4)
    assert machine.state.contexts[0].profile == 1  # 4:4:4, not 2:8:16


def test_a_batch_beyond_the_profiles_is_refused(bench):
    machine = bench()
    engine = machine.open().engine
    for batch in (0, 17):
        with pytest.raises(ValueError, match=f"no profile with batch {batch}"):
            engine.bind(batch, machine.buffers(17))


def test_two_chains_have_a_context_each(bench):
    machine = bench()
    engine = machine.open().engine
    assert engine.scratch_bytes(4) == 4 * SCRATCH
    first, second = (engine.bind(4, machine.buffers(4)) for _ in range(2))
    assert len(machine.state.contexts) == 2
    first.close()
    second.close()
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.bind(4, machine.buffers(4))


def test_what_has_been_unbound_is_not_run(bench):
    machine = bench()
    bound = machine.open().engine.bind(1, machine.buffers(1))
    bound.close()
    with pytest.raises(ValueError, match="unbound"):
        bound.enqueue(machine.world.handles)


def test_a_call_that_is_not_taken_is_an_error_with_the_reason(bench):
    machine = bench()
    denoise = machine.denoiser()
    machine.state.takes = False
    with pytest.raises(DdpmRtError, match="did not take a call: no stream$"):
        denoise(*images(machine.card, 1))


def test_missing_scratch_memory_and_addresses_are_refused(bench):
    machine = bench()
    engine = machine.open().engine
    with pytest.raises(ValueError, match="1000 bytes of scratch"):
        engine.bind(1, machine.buffers(1, scratch=0))
    with pytest.raises(DdpmRtError, match="the address of out"):
        engine.bind(1, machine.buffers(1, out=0))


MISFITS = {
    "another GPU": ({"capability": (9, 0)}, ["10.3.0", "capability 8.9,", "is 9.0;", "build it again with `ddpm-rt"]),
    "an older GPU": ({"capability": (7, 5), "build": {"compute_capabilities": ("8.0+",)}}, ["8.0+", "7.5"]),
    "a newer release": ({"here": "10.9.0.34"}, ["tensorrt 10.9.0.34", "pip install 'tensorrt==10.3.0.*'", "or build"]),
    "an older release": ({"build": {"version": "10.4.0"}}, ["10.4.0", "tensorrt 10.3.0", "--batch 1,4,2:8:16"]),
    "another RTX": (
        {"module": "tensorrt_rtx", "here": "1.7.1.116", "build": {"version": "1.4.0.76"}},
        ["TensorRT-RTX 1.4.0.76", "tensorrt_rtx 1.7.1.116", "tensorrt-rtx-cu13==1.4.0.*", "--flavour rtx"],
    ),
    "no TensorRT": ({"here": "none"}, ["tensorrt cannot be imported", "pip install 'tensorrt==10.3.0.*'"]),
    "an older lean": (
        {"module": "tensorrt_lean", "here": "10.2.0"},
        ["tensorrt_lean 10.2.0", "--version-compatible"],
    ),
    "no weights": (
        {"build": {"options": {"strip_weights": True}}},
        ["without its weights", "ddpm-rt refit", "build it again"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_plan_that_does_not_fit_is_one_sentence_and_is_not_loaded(bench, misfit):
    changes, words = MISFITS[misfit]
    machine = bench(**changes)
    with pytest.raises(DdpmRtError) as caught:
        machine.open()
    text = str(caught.value)
    assert "\n" not in text
    assert [word for word in (*words, "unet.plan was built by") if word not in text] == []
    assert not machine.state.loaded


@pytest.mark.parametrize("here", ["10.3.0", "10.16.1.11", "11.4.0.106"])
def test_a_version_compatible_plan_runs_on_later_releases(bench, here):
    machine = bench(module="tensorrt_lean", here=here)
    x, t = images(machine.card, 2)
    np.testing.assert_array_equal(machine.denoiser()(x, t), expected(x, t))


@pytest.mark.parametrize(
    ("capability", "wanted", "fits"),
    [((8, 9), "8.9", True), ((8, 9), "8.0+", True), ((12, 0), "8.0+", True), ((8, 6), "8.9", False)],
)
def test_a_plan_is_for_the_gpus_on_record(bench, capability, wanted, fits):
    machine = bench(capability=capability, build={"compute_capabilities": (wanted,)})
    if fits:
        machine.open()
    else:
        with pytest.raises(DdpmRtError, match="8.6"):
            machine.open()


OPTIONS = {
    "rtx for more GPUs": ("rtx", ("8.6", "12.0"), "8.9", {"batch": "1:8:64", "tf32": True, "level": 4}),
    "rtx for newer ones": ("rtx", ("8.0+",), "7.5", {"workspace": 64}),
    "tensorrt": (
        "tensorrt", ("8.9",), "9.0",
        {"batch": "1,4", "version_compatible": True, "hardware_compatible": "ampere+", "refittable": True},
    ),
    "a GPU that rtx lacks": ("rtx", ("8.9",), "9.0", {"batch": "2"}),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_the_command_that_rebuilds_a_plan_asks_for_the_same_options(case):
    """As `ddpm-rt build` itself reads it."""
    from ddpm_export.cli.build import build as command
    from ddpm_rt.engines.plan_compatibility import rebuild_command

    flavour, built, here, options = OPTIONS[case]
    build = Build(flavour, "10.3.0", built, ((1, 1, 1),), {}, {}, options, {"my unet.onnx": "1" * 64})
    text = rebuild_command(Path("a folder/unet.plan"), build, here)
    words = shlex.split(text.split("`")[1])
    assert words[:2] == ["ddpm-rt", "build"]
    asked = command.make_context("build", words[2:]).params
    assert (str(asked["model"]), str(asked["out"])) == ("my unet.onnx", "a folder/unet.plan")
    assert {name: asked[name] for name in options} == options
    given = {name for name, value in asked.items() if value not in (None, False)}
    assert given - {"model", "out", "flavour", "compute_capability"} == options.keys()
    rtx = asked["flavour"] == "rtx"
    assert rtx == (flavour == "rtx" and here != "9.0")
    wanted = (asked["compute_capability"] or "").split(",")
    assert wanted == ([*(one for one in built if "+" not in one), here] if rtx else [""])


@pytest.mark.parametrize("module", FLAVOURS)
def test_a_plan_that_is_not_taken_is_one_line_with_the_reason_of_the_log(bench, module):
    machine = bench(module=module)
    machine.state.refuses = "(Magic tag does not match\n   at 3)"
    with pytest.raises(DdpmRtError, match=r"cannot be loaded by .*: Magic tag does not match at 3") as caught:
        machine.open()
    assert "\n" not in str(caught.value)


def test_rtx_says_before_loading_that_a_plan_is_not_valid_here(bench):
    machine = bench(module="tensorrt_rtx")
    machine.state.valid = False
    with pytest.raises(DdpmRtError, match="Error reading CUDA GPU properties; build it again"):
        machine.open()
    assert not machine.state.loaded


def change(name, **facts):
    return lambda state: vars(state.network[name]).update(facts)


FAULTS = {
    "another tensor": (lambda state: state.network.update(z=state.network.pop("x")), "its tensors are"),
    "half an image": (change("x", type="HALF"), "'x' is of type HALF, not FLOAT"),
    "other images": (change("x", shape=(-1, 3, 4, 6)), r"'x' is \[-1, 3, 4, 6\], and by the card \['batch', 1, 4, 6\]"),
    "a learned variance": (change("out", shape=(-1, 2, 4, 6)), "'out' is"),
    "a table of times": (change("t", shape=(-1, 1)), "'t' is"),
    "an output in": (change("out", key="y"), "'out' is not an output"),
    "a profile more": (lambda state: setattr(state, "profiles", (*state.profiles, (1, 1, 1))), "4 profiles"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_that_is_not_the_cards_is_refused(bench, fault):
    spoil, message = FAULTS[fault]
    machine = bench()
    spoil(machine.state)
    with pytest.raises(DdpmRtError, match=message) as caught:
        machine.open()
    assert "build it again" in str(caught.value)


def test_a_network_of_another_name_is_refused(bench, monkeypatch):
    machine = bench()
    record = read_plan(machine.path)
    other = dataclasses.replace(record, card=gaussian_card(prediction="v"))
    monkeypatch.setattr("ddpm_rt.engines.opening.read_plan", lambda path: other)
    with pytest.raises(DdpmRtError, match="is called 'ddpm-rt/1 "):
        machine.open()


def test_a_static_network_takes_its_batch(bench):
    machine = bench(profiles=((4, 4, 4),), static=4)
    x, t = images(machine.card, 6)
    np.testing.assert_array_equal(machine.denoiser()(x, t), expected(x, t))


def cache_files(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_kernels_that_rtx_compiled_are_kept_for_the_next_time(bench, tmp_path):
    machine = bench(module="tensorrt_rtx")
    for known in (b"fresh", b"kernels of Context"):
        denoise = machine.denoiser()
        assert machine.state.caches[-1].content == known
        denoise(*images(machine.card, 1))
        denoise.close()
        (file,) = cache_files(tmp_path)
        assert file.name == f"{read_plan(machine.path).sha256}.cache"
        assert file.read_bytes() == b"kernels of Context"
        machine.world.streams.clear()


def test_a_cache_that_is_damaged_or_cannot_be_written_is_in_nobodys_way(bench, tmp_path):
    machine = bench(module="tensorrt_rtx")
    (tmp_path / "cache").write_text("no folder")
    denoise = machine.denoiser()
    denoise(*images(machine.card, 1))
    denoise.close()
    (tmp_path / "cache").unlink()
    file = tmp_path / "cache" / "ddpm-rt" / "tensorrt-rtx" / f"{read_plan(machine.path).sha256}.cache"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"garbage")
    denoise = machine.denoiser()
    denoise(*images(machine.card, 1))
    denoise.close()
    assert file.read_bytes() == b"kernels of Context"


def test_a_user_without_a_home_has_no_cache_and_no_trouble(bench, monkeypatch):
    machine = bench(module="tensorrt_rtx")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    denoise = machine.denoiser()
    denoise(*images(machine.card, 1))
    denoise.close()


def test_other_tensorrt_leaves_no_cache(bench, tmp_path):
    machine = bench()
    denoise = machine.denoiser()
    denoise(*images(machine.card, 1))
    denoise.close()
    assert cache_files(tmp_path) == []


@pytest.mark.parametrize("capturable", [True, False])
def test_rtx_is_asked_whether_it_can_be_captured(bench, capturable):
    machine = bench(module="tensorrt_rtx")
    machine.state.capturable = capturable
    engine = machine.open().engine
    engine.bind(1, machine.buffers(1))
    assert engine.capturable == capturable


def test_code_in_a_plan_is_never_allowed():
    from ddpm_rt import device

    sources = [path.read_text() for path in Path(device.__path__[0]).glob("*.py")]
    assert sources
    assert not any("engine_host_code_allowed" in source for source in sources)


@pytest.fixture(scope="module")
def real_plan(tmp_path_factory):
    """A plan of the bundled model from TensorRT-RTX, which builds without a GPU."""
    from ddpm_export.plans.build import build_plan
    from ddpm_export.plans.build_options import BuildOptions
    from ddpm_rt.models import bundled_model

    path = tmp_path_factory.mktemp("real") / "unet.plan"
    build_plan(bundled_model(), path, BuildOptions(((1, 1, 1),)), flavour="rtx")
    return path


@pytest.mark.skipif(bool(gpus()), reason="there is a driver, so the plan may well be loaded")
def test_the_real_rtx_says_why_it_loads_nothing_without_a_driver(real_plan, monkeypatch):
    install(monkeypatch, make_cuda_core(World((8, 9))))
    with pytest.raises(
        DdpmRtError, match="unet.plan, built by TensorRT-RTX .* cannot be loaded .*cudaError (35|100)"
    ) as caught:
        open_device_engine(real_plan)
    assert "\n" not in str(caught.value)
    assert "`ddpm-rt build mnist.onnx -o" in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="there is no GPU")
def test_a_real_plan_gives_what_the_cpu_gives(tmp_path):
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
        # float32 sums in another order: the tolerance of a step, as `ddpm-rt verify` has it for fp32
        np.testing.assert_allclose(denoise(x, t), on_cpu(x, t), atol=2e-4, rtol=0)
    denoise.close()
