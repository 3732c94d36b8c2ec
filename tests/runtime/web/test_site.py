"""`ddpm-rt web`: the files of a site. runtime/js tests what they do in a browser."""

import hashlib
import io
import json
import re
import subprocess
import tarfile

import pytest
from click.testing import CliRunner
from condition_files import write_divided, write_mixed
from gaussian_model import gaussian_card, write_gaussian
from other_kinds import mixed_card, sigma_card
from repository import ROOT

from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.steps_file import write_steps
from ddpm_rt.cli import main
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.web import javascript


@pytest.fixture
def ort(tmp_path):
    """A folder with the names of ONNX Runtime's files."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in javascript.ORT_FILES + javascript.GPU_FILES:
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def web(tmp_path, gaussian, ort):
    """Runs the command for a model."""
    steps = tmp_path / "unet.steps.json"

    def run(*options, model=gaussian, out=tmp_path / "site", files=("--ort", ort)):
        write_steps(steps, SamplerOptions(steps=3).compile(read_onnx_card(model)), read_onnx_card(model))
        arguments = ["web", model, "--steps-file", steps, "-o", out, *files, *options]
        return CliRunner().invoke(main, list(map(str, arguments)))

    return run


def test_a_site_has_the_model_the_table_the_page_and_both_libraries(web, tmp_path, gaussian):
    result = web("--title", "Grey images")
    assert result.exit_code == 0, result.output
    site = tmp_path / "site"
    assert (site / "model.onnx").read_bytes() == gaussian.read_bytes()
    facts = json.loads((site / "site.json").read_text())
    known = {"title": "Grey images", "shape": [1, 4, 6], "steps": 3, "classes": None, "nullClass": None}
    assert facts == known | {"webgpu": False, "inputs": []}
    source = ROOT / "runtime" / "js" / "src"
    assert {path.name: path.read_text() for path in (site / "src").iterdir()} == {
        path.name: path.read_text() for path in source.glob("*.js")
    }


def test_the_service_worker_keeps_every_file_of_the_site(web, tmp_path):
    web()
    site = tmp_path / "site"
    text = (site / "sw.js").read_text()
    assert "@" not in text
    kept = set(json.loads(re.search(r"const FILES = (\[.*\]);", text)[1]))
    there = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert kept == there - {"sw.js"} | {"./"}


def test_the_files_for_webgpu_are_there_on_demand_and_not_kept_by_the_service_worker(web, tmp_path):
    assert web().exit_code == 0
    assert not (tmp_path / "site" / "ort" / javascript.GPU_FILES[0]).exists()
    assert web("--webgpu").exit_code == 0
    assert json.loads((tmp_path / "site" / "site.json").read_text())["webgpu"] is True
    kept = (tmp_path / "site" / "sw.js").read_text()
    for name in javascript.GPU_FILES:
        assert (tmp_path / "site" / "ort" / name).read_text() == name
        assert name not in kept
    assert javascript.ORT_FILES[0] in kept


@pytest.mark.slow
def test_the_version_changes_with_any_file_and_only_then(web, tmp_path):
    def version(*options):
        assert web(*options).exit_code == 0
        return re.search(r"VERSION = '(\w+)'", (tmp_path / "site" / "sw.js").read_text())[1]

    first = version()
    assert version() == first
    assert version("--title", "another") != first


def test_a_page_loads_nothing_from_elsewhere():
    for path in (ROOT / "runtime" / "js" / "page").iterdir():
        assert "://" not in path.read_text(), path.name


def test_a_folder_with_other_files_is_left_alone(web, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    result = web(out=tmp_path / "mine")
    assert (result.exit_code, "holds other files" in result.output) == (1, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert "is a file; name a new folder" in web(out=tmp_path / "mine" / "thesis.txt").output


@pytest.mark.parametrize("changes", [{"precision": "fp16"}, {"image_shape": (4, 4, 6)}, {"image_shape": (1, 24)}])
def test_a_model_that_a_browser_cannot_show_is_refused(web, tmp_path, changes, monkeypatch):
    model = write_gaussian(tmp_path / "other.onnx", card=gaussian_card(**changes))
    monkeypatch.setattr("ddpm_rt.web.site.graph_precision", lambda path: changes.get("precision", "fp32"))
    result = web(model=model)
    assert (result.exit_code, result.output.count("\n"), (tmp_path / "site").exists()) == (1, 1, False)


def test_the_page_gets_the_inputs_that_a_visitor_gives_and_not_the_previous_x0(web, tmp_path):
    assert web(model=write_mixed(tmp_path / "other.onnx", mixed_card())).exit_code == 0
    image = {"name": "image", "dtype": "float32", "shape": [1, 4, 6]}
    number = {"name": "number", "dtype": "int64", "shape": []}
    assert json.loads((tmp_path / "site" / "site.json").read_text())["inputs"] == [image, number]


def test_pictures_of_another_process_have_a_site(web, tmp_path):
    result = web(model=write_divided(tmp_path / "levels.onnx", sigma_card(image_shape=(1, 4, 6))))
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "site" / "steps.json").read_text())["format"] == 2


@pytest.mark.parametrize("title", ["", " ", "two\nlines", "x" * 201])
def test_a_title_is_a_line_of_text(web, title):
    assert web("--title", title).exit_code == 2


def test_a_missing_file_of_onnx_runtime_is_one_line(web, ort):
    (ort / javascript.ORT_FILES[1]).unlink()
    result = web()
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert javascript.ORT_FILES[1] in result.output


def archive():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as made:
        for name in (*javascript.ORT_FILES, "../../evil.js"):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(name)
            made.addfile(member, io.BytesIO(name.encode()))
    return file.getvalue()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that makes the archive above; `calls` are its commands."""
    calls, content = [], archive()

    def run(command, cwd, **options):
        calls.append(command[1:])
        (tmp_path / cwd / "onnxruntime-web.tgz").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(javascript.subprocess, "run", run)
    monkeypatch.setattr(javascript.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(javascript, "ORT_SHA512", hashlib.sha512(content).hexdigest())
    return calls


def test_npm_fetches_onnx_runtime_once_and_only_its_files_are_taken(web, tmp_path, npm):
    assert web(files=()).exit_code == 0
    assert web(files=()).exit_code == 0
    assert npm == [["pack", "--silent", f"onnxruntime-web@{javascript.ORT_VERSION}"]]
    assert sorted(path.name for path in (tmp_path / "site" / "ort").iterdir()) == sorted(javascript.ORT_FILES)
    assert not list(tmp_path.rglob("evil.js"))


def test_another_archive_than_the_tested_one_is_refused(web, npm, monkeypatch):
    monkeypatch.setattr(javascript, "ORT_SHA512", "0" * 128)
    result = web(files=())
    assert (result.exit_code, "is not the package that this release was tested with" in result.output) == (1, True)


def test_without_npm_the_line_says_what_to_do(web, npm, monkeypatch):
    monkeypatch.setattr(javascript.shutil, "which", lambda name: None)
    result = web(files=())
    assert result.exit_code == 1
    assert (
        "install Node.js, or unpack the npm package onnxruntime-web and name its folder dist with --ort"
        in result.output
    )


def test_the_release_of_onnx_runtime_is_the_one_that_runtime_js_is_tested_with():
    package = json.loads((ROOT / "runtime" / "js" / "package.json").read_text())
    assert package["devDependencies"][javascript.ORT_PACKAGE] == javascript.ORT_VERSION
    from ddpm_rt import __version__

    assert package["version"] == __version__
