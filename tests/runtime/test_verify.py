import dataclasses
import json
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from gaussian_model import BETAS, gaussian_card, write_gaussian
from PIL import Image

from ddpm_export.checkpoint_card import card_of
from ddpm_export.onnx_export import export_onnx
from ddpm_export.sources import open_source
from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet
from ddpm_rt import Provenance, open_denoiser
from ddpm_rt.cli import main
from ddpm_rt.request import Request
from ddpm_rt.verdict import TOLERANCES, Tolerance, default_tolerance, judge
from ddpm_rt.verify import Comparison, Side, compare, engine_side
from ddpm_rt.verify_picture import grids

OFFSET = 0.015625  # a power of two: exact in float32


def verify(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def refused(result, *words, code=1):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


def measured(*arguments):
    """The exit code, and what --json says."""
    result = verify(*arguments, "--json", "-")
    assert result.stderr == ""
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_an_engine_equals_itself_to_the_bit(engines, sampler):
    code, found = measured(engines["right"], "--engine-b", engines["right"], "--sampler", sampler)
    assert code == 0
    assert found["ok"]
    assert len(found["steps"]) == {"ddpm": 1000, "ddim": 50}[sampler]
    assert {step[key] for step in found["steps"] for key in ("out_max", "out_rms", "x_max", "x_rms")} == {0.0}


def test_a_known_error_of_the_network_is_measured_and_its_first_step_named(engines):
    code, found = measured(engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim", "--steps", 10)
    assert code == 1
    assert (found["first_over"]["row"], found["first_over"]["t"]) == (5, 499)
    for step in found["steps"]:
        expected = OFFSET if step["t"] <= 499 else 0.0
        # out is of size one: adding the offset rounds at 2^-24.
        assert step["out_max"] == pytest.approx(expected, abs=2e-7)
        assert step["out_rms"] == pytest.approx(expected, abs=2e-7)


def test_the_error_of_x_is_the_one_that_the_chain_makes_of_it(engines):
    """The chain of a linear network: an offset of `out` becomes an offset of x, by a recursion in float64."""
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


def test_an_output_that_is_not_finite_is_named_and_the_rest_still_measured(engines, tmp_path):
    files = "--out", tmp_path / "x.html", "--png", tmp_path / "x.png"
    code, found = measured(engines["nan"], "--engine-b", engines["right"], "--sampler", "ddim", "--steps", 10, *files)
    assert code == 1
    assert found["non_finite"] == [{"side": "engine", "row": 4, "t": 599}]
    assert "engine's output is not finite at step 4, t = 599" in found["verdict"]
    outs, xs = ([step[key] for step in found["steps"]] for key in ("out_max", "x_max"))
    assert outs == [0.0] * 4 + [None] + [0.0] * 5  # fed the reference's x, so that one bad step is one
    assert xs == [0.0] * 4 + [None] * 6
    assert found["psnr"] == [None] * 4
    assert (tmp_path / "x.html").exists()
    assert (tmp_path / "x.png").exists()


def test_a_reference_that_is_not_finite_is_named_too(engines):
    code, found = measured(engines["right"], "--engine-b", engines["nan"], "--sampler", "ddim", "--steps", 10)
    assert code == 1
    assert found["non_finite"] == [{"side": "reference", "row": 4, "t": 599}]
    assert [step["x_max"] for step in found["steps"]] == [0.0] * 4 + [None] * 6


def test_batches_do_not_change_what_is_measured(engines):
    request = Request(sampler="ddim", steps=6, count=5, batch=5)
    sides = [open_denoiser(engines[name]) for name in ("raised", "right")]
    whole, split = (
        compare(*(engine_side(engine, asked) for engine in sides), asked)
        for asked in (request, Request(sampler="ddim", steps=6, count=5, batch=2))
    )
    assert whole.steps == split.steps
    np.testing.assert_array_equal(whole.images, split.images)


def test_an_image_that_only_one_sample_gets_wrong_counts_in_full():
    """The mean over many good images must not hide a bad one."""

    class Engine:
        card = gaussian_card()

        def __call__(self, x, t):
            return np.zeros_like(x)

    request = Request(sampler="ddim", steps=1, count=8, batch=8)
    right = engine_side(Engine(), request)

    def chain(denoise, samples):
        for x in right.chain(denoise, samples):
            yield x + np.where(np.arange(8) == 5, 0.25, 0)[:, None, None, None]

    found = compare(Side(lambda samples: Engine(), chain, Engine.card), right, request)
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
def test_models_that_cannot_be_compared_are_one_line(engines, tmp_path, changes, words):
    code = 2 if "precision" in changes else 1
    refused(verify(engines["right"], "--engine-b", changed(tmp_path, **changes)), *words, code=code)


def test_other_weights_are_refused_unless_they_are_asked_for(engines, tmp_path):
    other = changed(tmp_path, provenance=Provenance("other", "f" * 64, {}, {}))
    asked = [engines["right"], "--engine-b", other, "--sampler", "ddim"]
    refused(verify(*asked), "mismatched reference", "000000000000", "ffffffffffff", "--other-weights")
    assert verify(*asked, "--other-weights").exit_code == 0


@pytest.mark.parametrize(("options", "code", "words"), [
    ([], 2, ["--reference", "--engine-b"]),
    (["--engine-b", "{right}", "--reference", "x"], 2, ["--reference", "--engine-b"]),
    (["--engine-b", "nowhere.onnx"], 1, ["nowhere.onnx"]),
    (["--reference", "nowhere"], 1, ["nowhere is not there"]),
    (["--engine-b", "{right}", "--label", "3"], 2, ["unconditional"]),
    (["--engine-b", "{right}", "--steps", "1001"], 2, ["1000"]),
    (["--engine-b", "{right}", "--eta", "0.5"], 2, ["eta"]),
    (["--engine-b", "{right}", "--out", "no/such/x.html"], 1, ["not a folder"]),
])  # fmt: skip
def test_what_cannot_be_asked_is_one_line(engines, options, code, words):
    refused(verify(engines["right"], *(option.format(right=engines["right"]) for option in options)), *words, code=code)


class Page(HTMLParser):
    """Counts tags, checks that they nest, and gathers what is referred to."""

    VOID = {"meta", "img", "line", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("engine", ["right", "raised", "nan"])
@pytest.mark.parametrize("steps", [1, 10])
def test_the_page_is_whole_and_refers_to_nothing_outside(engines, tmp_path, engine, steps):
    verify(engines[engine], "--engine-b", engines["right"], "--steps", steps, "--out", tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.tags.count("svg") == 1
    assert page.tags.count("img") == 3
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_picture_shows_both_curves_and_says_the_verdict(engines, tmp_path):
    verify(engines["raised"], "--engine-b", engines["right"], "--sampler", "ddim", "--png", tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
        assert picture.text["ddpm-rt.verdict"].startswith("different: ")
        colours = {colour for _, colour in picture.getcolors(1 << 16)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_the_difference_is_shown_ten_times_around_grey():
    ours = np.full((1, 1, 2, 2), 0.5, np.float32)
    shown = grids(Comparison((), (), ours, ours - np.array([[0, 0.02], [-0.02, 0.2]], np.float32)))
    tops = shown["difference x10"][::150, ::150, 0]
    assert tops.tolist() == [[128, 153], [102, 255]]  # (10 d + 1) 127.5: rounded, clipped


def test_colour_images_are_shown_in_colour(tmp_path):
    card = gaussian_card(image_shape=(3, 8, 8))
    path = write_gaussian(tmp_path / "rgb.onnx", card=card)
    files = ["--out", tmp_path / "x.html", "--png", tmp_path / "x.png"]
    assert verify(path, "--engine-b", path, "--sampler", "ddim", "--steps", 3, *files).exit_code == 0
    pixels = np.asarray(Image.open(tmp_path / "x.png"))
    assert (pixels[-200:].max(axis=2) != pixels[-200:].min(axis=2)).any()


def test_a_write_that_fails_leaves_no_file(engines, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ddpm_rt.files.os.replace", full)
    result = verify(engines["right"], "--engine-b", engines["right"], "--steps", 2, "--out", tmp_path / "x.html")
    refused(result, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_the_json_has_the_keys_that_the_manual_promises(engines, tmp_path):
    verify(engines["raised"], "--engine-b", engines["right"], "--steps", 3, "--json", tmp_path / "x.json")
    found = json.loads((tmp_path / "x.json").read_text())
    assert list(found) == [
        *("format", "ok", "verdict", "engine", "reference", "sampler", "tolerance"),
        *("first_over", "non_finite", "psnr", "steps"),
    ]
    assert found["format"] == 1
    assert list(found["engine"]) == ["name", "precision", "weights_sha256", "card_sha256"]
    assert list(found["steps"][0]) == ["row", "t", "out_max", "out_rms", "x_max", "x_rms"]
    assert found["sampler"] == {"name": "ddpm", "steps": 3, "eta": None, "seed": 0, "first": 0, "count": 4}


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


def test_torch_that_is_missing_for_a_reference_is_one_line(engines):
    script = "import sys; sys.modules['torch'] = None; from ddpm_rt.cli import main; main(sys.argv[1:])"
    asked = ["verify", engines["right"], "--reference", "x"]
    result = subprocess.run([sys.executable, "-c", script, *asked], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "Error: torch is not installed: pip install 'ddpm-rt[export]', or compare with --engine-b"
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A random UNet as a checkpoint and, exported, as an engine."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = dataclasses.replace(
        load_preset("mnist").model,
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    torch.manual_seed(0)
    made = Checkpoint(UNet(config).eval(), schedules.linear(1000), "eps", "fixed_large", (-1.0, 1.0), "trailing")
    save_checkpoint(folder / "model", made)
    source = open_source(folder / "model")
    export_onnx(source.module, card_of(source, folder / "model"), folder / "unet.onnx")
    return folder


@pytest.mark.parametrize("options", [
    ["--sampler", "ddpm", "--steps", 250, "--count", 1],
    ["--sampler", "ddpm", "--steps", 48],
    ["--sampler", "ddim"],
    ["--sampler", "ddim", "--steps", 20, "--eta", 0.7, "--seed", 3, "--batch", 3],
])  # fmt: skip
def test_an_exported_network_follows_its_checkpoint_through_the_whole_chain(checkpoint, options):
    """Independent code on the other side: PyTorch, and the loops of ddpm_ref. The default tolerance is 2e-4."""
    code, found = measured(checkpoint / "unet.onnx", "--reference", checkpoint / "model", *options)
    assert code == 0, found["verdict"]
    assert found["tolerance"] == {"max_x": 2e-4, "min_psnr": None}
    assert max(step["x_max"] for step in found["steps"]) > 0  # it is not compared with itself
    assert found["engine"]["weights_sha256"] == found["reference"]["weights_sha256"]


def test_a_schedule_changed_after_the_export_is_refused(checkpoint, tmp_path):
    loaded = load_checkpoint(checkpoint / "model")
    betas = loaded.betas.copy()
    betas[13] *= 1.01
    save_checkpoint(tmp_path / "model", Checkpoint(loaded.unet, betas, "eps", "fixed_large", (-1.0, 1.0), "trailing"))
    refused(verify(checkpoint / "unet.onnx", "--reference", tmp_path / "model"), "schedule", "t = 13", "1 differ")


def test_a_checkpoint_that_was_trained_on_is_a_mismatched_reference(checkpoint, tmp_path):
    loaded = load_checkpoint(checkpoint / "model")
    with torch.no_grad():
        loaded.unet.conv_out.bias += 0.25
    save_checkpoint(tmp_path / "model", loaded)
    asked = [checkpoint / "unet.onnx", "--reference", tmp_path / "model", "--sampler", "ddim", "--steps", 5]
    refused(verify(*asked), "mismatched reference")
    code, found = measured(*asked, "--other-weights")
    assert code == 1
    assert found["steps"][0]["out_max"] == pytest.approx(0.25, abs=1e-4)  # both networks in float32
