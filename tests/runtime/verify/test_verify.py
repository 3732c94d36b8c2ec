"""Two engines with known errors are compared step by step."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from command import failed
from gaussian_model import BETAS, gaussian_card, write_gaussian
from verify_command import OFFSET, measured, verify

from ddpm_rt import Provenance, open_denoiser
from ddpm_rt.requests.request import Request
from ddpm_rt.verify.comparison import Side, compare, engine_side
from ddpm_rt.verify.verdict import TOLERANCES, Tolerance, default_tolerance, judge


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_an_engine_equals_itself_to_the_bit(engines, sampler):
    code, found = measured(engines["right"], "--engine-b", engines["right"], "--sampler", sampler)
    assert code == 0
    assert found["ok"]
    assert len(found["steps"]) == {"ddpm": 1000, "ddim": 50}[sampler]
    assert {step[key] for step in found["steps"] for key in ("out_max", "out_rms", "x_max", "x_rms")} == {0.0}


def test_a_known_error_of_the_network_is_measured_and_its_first_step_is_named(engines):
    code, found = measured(engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim", "--steps", 10)
    assert code == 1
    assert (found["first_over"]["row"], found["first_over"]["t"]) == (5, 499)
    for step in found["steps"]:
        expected = OFFSET if step["t"] <= 499 else 0.0
        # out is near one, so adding the offset rounds by 2^-24.
        assert step["out_max"] == pytest.approx(expected, abs=2e-7)
        assert step["out_rms"] == pytest.approx(expected, abs=2e-7)


def test_the_error_of_x_is_that_of_the_chain(engines):
    """For a linear network, a recursion in float64 gives the offset of x from the offset of `out`."""
    _, found = measured(engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim", "--steps", 10)
    alpha_bar = np.cumprod(1 - BETAS)
    t = np.array([step["t"] for step in found["steps"]])
    before = np.append(alpha_bar[t[1:]], 1.0)
    off = 0.0
    for step, now, then in zip(found["steps"], alpha_bar[t], before, strict=True):
        gain = np.sqrt(1 - now) / (now * 0.25 + 1 - now)
        eps = gain * off + (OFFSET if step["t"] <= 499 else 0.0)
        off = np.sqrt(then) * (off - np.sqrt(1 - now) * eps) / np.sqrt(now) + np.sqrt(1 - then) * eps
        # float32 state of size one through ten steps.
        assert step["x_max"] == pytest.approx(abs(off), abs=5e-6)
        assert step["x_rms"] == pytest.approx(abs(off), abs=5e-6)
    assert found["psnr"] == pytest.approx([20 * np.log10(2 / abs(off))] * 4, abs=0.01)


def test_the_verdict_is_one_line_and_a_short_table(engines):
    result = verify(engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim")
    assert result.exit_code == 1
    verdict, *table = result.stdout.splitlines()
    assert verdict.startswith("different: ")
    assert "step 25, t = 499, the first over tolerance 0.0002" in verdict
    assert 8 <= len(table) <= 12


def test_a_non_finite_output_is_named_and_the_other_steps_are_still_measured(engines, tmp_path):
    files = "--out", tmp_path / "x.html", "--png", tmp_path / "x.png"
    code, found = measured(engines["nan"], "--engine-b", engines["right"], "--sampler", "ddim", "--steps", 10, *files)
    assert code == 1
    assert found["non_finite"] == [{"side": "engine", "row": 4, "t": 599}]
    assert "engine's output is not finite at step 4, t = 599" in found["verdict"]
    outs, xs = ([step[key] for step in found["steps"]] for key in ("out_max", "x_max"))
    assert (
        outs == [0.0] * 4 + [None] + [0.0] * 5
    )  # each step gets the reference's x, so one bad step does not affect the others
    assert xs == [0.0] * 4 + [None] * 6
    assert found["psnr"] == [None] * 4
    assert (tmp_path / "x.html").exists()
    assert (tmp_path / "x.png").exists()


def test_a_reference_that_is_not_finite_is_named_too(engines):
    code, found = measured(engines["right"], "--engine-b", engines["nan"], "--sampler", "ddim", "--steps", 10)
    assert code == 1
    assert found["non_finite"] == [{"side": "reference", "row": 4, "t": 599}]
    assert [step["x_max"] for step in found["steps"]] == [0.0] * 4 + [None] * 6


def test_the_batch_size_does_not_change_the_measured_errors(engines):
    request = Request(sampler="ddim", steps=6, count=5, batch=5)
    sides = [open_denoiser(engines[name]) for name in ("raised", "right")]
    whole, split = (
        compare(*(engine_side(engine, bound) for engine in sides), bound)
        for bound in (one.bind(sides[0].card) for one in (request, replace(request, batch=2)))
    )
    assert whole.steps == split.steps
    np.testing.assert_array_equal(whole.images, split.images)


def test_one_wrong_image_counts_in_full():
    """The mean over many good images must not hide a bad one."""

    class Engine:
        card = gaussian_card()

        def __call__(self, x, t):
            return np.zeros_like(x)

    bound = Request(sampler="ddim", steps=1, count=8, batch=8).bind(Engine.card)
    right = engine_side(Engine(), bound)

    def chain(denoise, samples):
        for x in right.chain(denoise, samples):
            yield x + np.where(np.arange(8) == 5, 0.25, 0)[:, None, None, None]

    found = compare(Side(lambda samples: Engine(), chain, Engine.card), right, bound)
    assert found.steps[0].x_rms == pytest.approx(0.25, rel=1e-5)  # float32 addition to values of a few hundred
    assert not judge(found, Tolerance(None, 40.0)).ok
    assert judge(found, Tolerance(None, 15.0)).ok  # 18.06 dB


@pytest.mark.parametrize(("option", "limit", "code"), [
    ("--tolerance", 0.5, 0), ("--tolerance", 0.001, 1), ("--min-psnr", 20, 0), ("--min-psnr", 90, 1),
])  # fmt: skip
def test_the_tolerance_can_be_chosen(engines, option, limit, code):
    asked = engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim", option, limit
    assert verify(*asked).exit_code == code


def test_the_coarser_precision_decides_the_tolerance(engines):
    assert default_tolerance("fp32", "bf16") == default_tolerance("bf16", "fp16") == TOLERANCES["bf16"]
    found = measured(engines["fp16"], "--engine-b", engines["right"], "--sampler", "ddim")[1]
    assert found["tolerance"] == {"max_x": None, "min_psnr": 40.0}


def changed(tmp_path, **changes):
    return write_gaussian(tmp_path / "other.onnx", card=gaussian_card(**changes))


@pytest.mark.parametrize(("changes", "words"), [
    ({"image_shape": (1, 4, 8)}, ["image_shape", "[1, 4, 6]", "[1, 4, 8]"]),
    ({"betas": tuple(np.where(np.arange(1000) == 7, 0.5, BETAS).tolist())}, ["beta at t = 7", "0.5", "1 differ"]),
    ({"betas": tuple(BETAS[:999].tolist())}, ["1000 betas", "999"]),
    ({"prediction": "v"}, ["prediction", "eps", "v"]),
    ({"variance": "fixed_large"}, ["variance"]),
    ({"clip": (-1.0, 1.0)}, ["clip", "None", "[-1.0, 1.0]"]),
    ({"precision": "int3"}, ["int3", "--tolerance"]),
])  # fmt: skip
def test_models_that_cannot_be_compared_are_a_one_line_error(engines, tmp_path, changes, words):
    code = 2 if "precision" in changes else 1
    failed(verify(engines["right"], "--engine-b", changed(tmp_path, **changes)), *words, code=code)


def test_other_weights_are_refused_without_the_option(engines, tmp_path):
    other = changed(tmp_path, provenance=Provenance("other", "f" * 64, {}, {}))
    asked = [engines["right"], "--engine-b", other, "--sampler", "ddim"]
    failed(verify(*asked), "mismatched reference", "000000000000", "ffffffffffff", "--other-weights")
    assert verify(*asked, "--other-weights").exit_code == 0


@pytest.mark.parametrize(("options", "code", "words"), [
    ([], 2, ["--reference", "--engine-b"]),
    (["--engine-b", "{right}", "--reference", "x"], 2, ["--reference", "--engine-b"]),
    (["--engine-b", "nowhere.onnx"], 1, ["nowhere.onnx"]),
    (["--reference", "nowhere"], 1, ["'nowhere' does not exist"]),
    (["--engine-b", "{right}", "--label", "3"], 2, ["unconditional"]),
    (["--engine-b", "{right}", "--steps", "1001"], 2, ["1000"]),
    (["--engine-b", "{right}", "--eta", "0.5"], 2, ["eta"]),
    (["--engine-b", "{right}", "--out", "no/such/x.html"], 1, ["not a folder"]),
])  # fmt: skip
def test_invalid_options_are_a_one_line_error(engines, options, code, words):
    failed(verify(engines["right"], *(option.format(right=engines["right"]) for option in options)), *words, code=code)


def test_two_engines_are_compared_where_torch_and_onnx_cannot_be_imported(engines, tmp_path):
    script = (
        "import sys\n"
        "sys.modules.update(torch=None, onnx=None, onnxscript=None, ddpm_ref=None, ddpm_export=None)\n"
        "from ddpm_rt.cli import main\n"
        "main(sys.argv[1:])"
    )
    files = ["--out", tmp_path / "x.html", "--png", tmp_path / "x.png", "--json", tmp_path / "x.json"]
    asked = ["verify", engines["right"], "--engine-b", engines["right"], "--steps", "3", *files]
    subprocess.run([sys.executable, "-c", script, *asked], check=True)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("engine", ["right", "nan"])
@pytest.mark.parametrize("broken_side", ["engine", "reference"])
def test_the_progress_bar_reaches_its_end_also_where_a_chain_breaks(engines, monkeypatch, engine, broken_side):
    done = []

    @contextlib.contextmanager
    def recorded(length, label, *, quiet):
        assert (label, quiet) == ("comparing", True)
        yield SimpleNamespace(update=done.append)
        assert sum(done) == length == 2 * 10  # batches and steps

    monkeypatch.setattr("ddpm_rt.cli.verify.progress_bar", recorded)
    sides = [engines[engine], engines["right"]]
    first, second = sides if broken_side == "engine" else sides[::-1]
    more = ["--sampler", "ddim", "--steps", 10, "--count", 3, "--batch", 2, "--quiet"]
    assert verify(first, "--engine-b", second, *more).exit_code == (engine == "nan")


@pytest.mark.parametrize("name", ["other.onnx", "other.plan"])
def test_a_model_is_no_checkpoint(engines, tmp_path, name):
    result = verify(engines["right"], "--reference", tmp_path / name)
    failed(result, f"{name} is not a checkpoint; compare with it by --engine-b", code=2)
