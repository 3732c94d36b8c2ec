"""Each package imports only the packages in its list."""

import ast
import subprocess
import sys

import pytest
from repository import ROOT

REFERENCE = {"numpy", "click", "torch", "PIL", "safetensors", "accelerate", "tqdm", "datasets", "tomli"}
SERVER = {"starlette", "uvicorn", "prometheus_client"}
MAY_IMPORT = {
    "runtime/ddpm_rt": {"numpy", "click", "PIL", "onnxruntime", "cuda", "ddpm_rt", *SERVER, "ray"},
    "ddpm_ref": {*REFERENCE, "ddpm_ref"},
    "export/ddpm_export": {
        *("numpy", "click", "torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "tensorrt"),
        *("ddpm_rt", "ddpm_ref", "ddpm_export", "diffusers"),
    },
}


def imported_packages(source):
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package):
    sources = list((ROOT / package).rglob("*.py"))
    assert sources
    for source in sources:
        assert imported_packages(source) <= MAY_IMPORT[package], source


@pytest.mark.parametrize("package", ["runtime/ddpm_rt", "export/ddpm_export"])
def test_engines_are_imported_inside_the_functions_that_open_them(package):
    for source in (ROOT / package).rglob("*.py"):
        top = {
            name.split(".")[0]
            for node in ast.parse(source.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        }
        assert not top & {"cuda", "onnxruntime", "tensorrt", "tensorrt_rtx"}, source


def test_the_server_s_packages_are_imported_by_the_server_alone():
    for source in (ROOT / "runtime/ddpm_rt").rglob("*.py"):
        is_server = source.parent.name == "serve"
        assert is_server or not imported_packages(source) & SERVER, source
        assert source.name == "ray.py" or "ray" not in imported_packages(source), source


def test_diffusers_is_imported_only_where_its_decoder_is_built():
    for source in (ROOT / "export/ddpm_export").rglob("*.py"):
        assert source.name == "autoencoder.py" or "diffusers" not in imported_packages(source), source


def test_the_runtime_imports_neither_torch_nor_an_engine():
    script = (
        "import sys, ddpm_rt, ddpm_rt.cli\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'cuda', 'PIL', 'ddpm_ref', 'ddpm_export'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_sampling_works_where_torch_and_onnx_cannot_be_imported(gaussian, tmp_path):
    script = (
        "import sys\n"
        "sys.modules.update(torch=None, onnx=None, onnxscript=None, ddpm_ref=None, ddpm_export=None)\n"
        "from ddpm_rt.cli import main\n"
        "main(sys.argv[1:])"
    )
    out = tmp_path / "grid.png"
    command = [sys.executable, "-c", script, "sample", "--engine", gaussian, "--steps", "3", "--out", out]
    subprocess.run(command, check=True)
    assert out.exists()
