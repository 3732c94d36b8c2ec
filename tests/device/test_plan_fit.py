"""A machine accepts a plan only if the GPU, TensorRT and the network of the card match."""

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
from fake_tensorrt import expected
from gaussian_model import gaussian_card
from plan_bench import FLAVOURS, images

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.plan_build import Build
from ddpm_rt.artifacts.plan_record import read_plan

pytest.importorskip("cuda.core")


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
def test_an_incompatible_plan_is_a_one_line_error_and_is_not_loaded(bench, misfit):
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
    """The command is parsed by `ddpm-rt build` itself."""
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
def test_a_refused_plan_is_a_one_line_error_with_the_reason_of_the_log(bench, module):
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
def test_a_network_that_contradicts_the_card_is_refused(bench, fault):
    spoil, message = FAULTS[fault]
    machine = bench()
    spoil(machine.state)
    with pytest.raises(DdpmRtError, match=message) as caught:
        machine.open()
    assert "build it again" in str(caught.value)


def test_a_network_with_another_name_is_refused(bench, monkeypatch):
    machine = bench()
    record = read_plan(machine.path)
    other = dataclasses.replace(record, card=gaussian_card(prediction="v"))
    monkeypatch.setattr("ddpm_rt.engines.opening.read_plan", lambda path: other)
    with pytest.raises(DdpmRtError, match="is called 'ddpm-rt/1 "):
        machine.open()
