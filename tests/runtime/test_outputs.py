"""An output never replaces an input, and never has the suffix of another kind of file."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from gaussian_model import write_gaussian
from PIL import Image
from tiny_unet import tiny_unet

from ddpm_ref import betas as schedules
from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
from ddpm_rt.artifacts.output_path import check_output_path, check_target, check_writable
from ddpm_rt.cli import main

CARD = "--betas cosine:10 --prediction eps --variance fixed_small --clip none"
WEIGHTS = "run/unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    folder = tmp_path_factory.mktemp("things")
    write_gaussian(folder / "k.onnx")
    shutil.copyfile(folder / "k.onnx", folder / "k.plan")
    (folder / "k.plan.json").write_text("the record of a plan")
    (folder / "link.onnx").symlink_to("k.onnx")
    (folder / "cache").write_text("kernels")
    (folder / "x.webp").write_text("a picture")
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(folder / "x.png")
    np.save(folder / "x.npy", np.zeros((1, 1, 4, 6), np.float32))
    checkpoint = Checkpoint(tiny_unet(), schedules.cosine(10), "v", "fixed_small", (-1.0, 1.0))
    save_checkpoint(folder / "run", checkpoint)
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(things, monkeypatch, command, words):
    monkeypatch.chdir(things)
    before = contents(things)
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert contents(things) == before


@pytest.mark.parametrize(("command", "output"), [
    ("build k.onnx -o {}", "cache --timing-cache cache"),
    ("build k.onnx --timing-cache {} -o new.plan", "k.onnx"),
    ("build k.onnx -o {}", "k.onnx"),
    ("build {} -o k.plan", "k.plan.json"),
    (f"card k.onnx {CARD} -o {{}}", "k.onnx"),
    (f"card k.onnx {CARD} -o {{}}", "run/../k.onnx"),
    (f"card k.onnx {CARD} -o {{}}", "link.onnx"),
    ("refit k.plan --weights k.onnx -o {}", "k.onnx"),
    ("steps k.onnx -o {}", "k.onnx"),
    ("verify k.onnx --engine-b link.onnx --out {}", "k.onnx"),
    ("verify k.plan --engine-b k.onnx --json {}", "k.onnx"),
    ("verify k.onnx --engine-b k.plan --json {}", "k.plan.json"),
    ("sample --engine k.onnx --init-image x.png --out {}", "x.png"),
    ("sample --engine k.onnx --init-image x.png --mask x.webp --out {}", "x.webp"),
    ("sample --engine k.onnx --init-noise x.npy --out {}", "x.npy"),
    ("sample --engine k.onnx --out {}", "k.onnx"),
    ("interpolate --from 0 --to 1 --engine k.onnx --out {}", "k.onnx"),
    ("invert x.npy --engine k.onnx -o {}", "x.npy"),
])  # fmt: skip
def test_an_output_that_is_an_input_is_refused_and_nothing_is_touched(things, monkeypatch, command, output):
    name = output.split()[0]
    refused(things, monkeypatch, command.format(output), f"{name} is the input; name another output")


@pytest.mark.parametrize("command", ["export run -o {}", "export run/unet/.. -o {}"])
def test_an_export_cannot_replace_a_file_of_its_checkpoint(things, monkeypatch, command):
    refused(things, monkeypatch, command.format(WEIGHTS), f"{WEIGHTS} is part of the input")


def test_a_report_cannot_replace_the_config_of_the_reference(things, monkeypatch):
    command = "verify k.onnx --reference run --json run/unet/config.json"
    refused(things, monkeypatch, command, "run/unet/config.json is part of the input run")


def test_an_export_inside_its_checkpoint_can_be_repeated(things, tmp_path):
    shutil.copytree(things / "run", tmp_path / "run")
    for _ in range(2):
        check_output_path(tmp_path / "run" / "unet.onnx", ".onnx", inputs=[tmp_path / "run"])
        (tmp_path / "run" / "unet.onnx").touch()


@pytest.mark.parametrize(("command", "words"), [
    ("build k.onnx -o new.json", "new.json: write .plan or .engine"),
    ("build k.onnx -o new.PNG", "new.PNG: write .plan or .engine"),
    ("export run -o new.plan", "new.plan: write .onnx"),
    ("export run -o new.json", "new.json: write .onnx"),
    ("export run -o new.png", "new.png: write .onnx"),
    (f"card k.onnx {CARD} -o new.plan", "new.plan: write .onnx"),
    ("refit k.plan --weights k.onnx -o new.onnx", "new.onnx: write .plan or .engine"),
    ("steps k.onnx -o new.onnx", "new.onnx: write .json"),
    ("steps k.onnx -o new.plan", "new.plan: write .json"),
    ("verify k.onnx --engine-b link.onnx --out new.txt", "new.txt: write .html"),
    ("verify k.onnx --engine-b link.onnx --png new.html", "new.html: write .png"),
    ("verify k.onnx --engine-b link.onnx --json new.onnx", "new.onnx: write .json"),
    ("verify k.onnx --engine-b link.onnx --json new", "new: write .json"),
])  # fmt: skip
def test_a_suffix_of_another_kind_of_file_is_refused(things, monkeypatch, command, words):
    refused(things, monkeypatch, command, words)


def test_an_unknown_suffix_is_allowed(tmp_path):
    for name in ("unet", "unet.trt", "unet.v2"):
        check_output_path(tmp_path / name, ".plan", inputs=[tmp_path / "unet.onnx", None])


def test_the_test_for_a_writable_folder_uses_an_unpredictable_name(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / f".ddpm-rt.{os.getpid()}.tmp").symlink_to("mine")
    check_writable(tmp_path)
    assert (tmp_path / "mine").read_text() == "precious"
    check_target(tmp_path / "new.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".ddpm-rt.{os.getpid()}.tmp", "mine"]
