"""The kernels compile for every supported GPU without a GPU, and have no spills or fused operations."""

import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ddpm_rt import DdpmRtError
from ddpm_rt.device import kernels
from ddpm_rt.device.cache import user_cache
from ddpm_rt.device.nvrtc import Nvrtc
from ddpm_rt.include import include_folder

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_120")
KERNELS = {*kernels.NAMES, kernels.WHILE}
MOST_REGISTERS = 48  # of the 65536 of a multiprocessor: five blocks of 256 threads fit at once
FUSED = re.compile(r"\bfma\.|\bmad\.(rn|rz|rm|rp|f32|ftz)")
REPORT = re.compile(
    r"Compiling entry function '(\w+)' for '(\w+)'"
    r".*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
    re.DOTALL,
)


def check_report(log, archs, capsys):
    """Print the report of ptxas for every kernel and architecture, and check its limits."""
    found = {}
    for name, arch, stores, loads, registers in REPORT.findall(log):
        found[arch, name] = int(registers)
        assert (stores, loads) == ("0", "0"), f"{name} spills on {arch}"
    assert set(found) == {(arch, name) for arch in archs for name in KERNELS}, log
    with capsys.disabled():
        print()
        for arch in archs:
            print(f"{arch}: registers", *(f"{name[8:]} {found[arch, name]}" for name in sorted(KERNELS)))
    assert max(found.values()) <= MOST_REGISTERS


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
def test_code_of_nvrtc_has_no_fused_operations_and_no_spills(arch, capsys):
    made = kernels.compiled(arch, flags=("--ptxas-options=-v",))
    assert made.cubin[:4] == b"\x7fELF"
    check_report(made.log, [arch], capsys)
    entries = set(re.findall(r"\.entry (\w+)", made.ptx))
    assert entries == KERNELS
    assert all(name.encode() in made.cubin for name in entries)
    assert not FUSED.findall(made.ptx)
    assert "div.rn.f32" in made.ptx  # and not the approximate ones
    assert "sqrt.rn.f32" in made.ptx
    assert ".ftz" not in made.ptx


def test_fused_operations_are_detected():
    source = 'extern "C" __global__ void f(float *x) { x[0] = x[0] * x[1] + x[2]; }'
    assert FUSED.search(Nvrtc().compiled(source, {}, "sm_90", ()).ptx)
    assert not FUSED.search(Nvrtc().compiled(source, {}, "sm_90", kernels.FLAGS).ptx)


def test_the_intrinsics_alone_keep_nvrtc_from_fusing():
    made = Nvrtc().compiled(
        (include_folder() / "ddpm_rt/kernels.cu").read_text(),
        {name: (include_folder() / "ddpm_rt" / name).read_text() for name in kernels.HEADERS},
        *("sm_90", ("-fmad=true",)),
    )
    assert not FUSED.findall(made.ptx)


@pytest.mark.slow
def test_code_of_nvcc_has_no_fused_operations_and_no_spills(tmp_path, capsys):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on this machine; what NVRTC makes of the same source was checked")
    source = str(include_folder() / "ddpm_rt/kernels.cu")
    targets = [f"-gencode=arch=compute_{arch[3:]},code={arch}" for arch in ARCHS]
    command = [nvcc, "-fatbin", "-Xptxas", "-v", "-Werror", "all-warnings", *targets, source, "-o", "kernels.fatbin"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    check_report(said.stdout + said.stderr, ARCHS, capsys)
    # Without -fmad=false: the intrinsics in the header alone must prevent fusing.
    subprocess.run([nvcc, "-ptx", "-arch=compute_90", source, "-o", "kernels.ptx"], check=True, cwd=tmp_path)
    assert not FUSED.findall((tmp_path / "kernels.ptx").read_text())


# The cache


@pytest.fixture
def compilations(monkeypatch):
    """The list of compiled architectures. The compiled code is a word."""
    made = []

    def compiled(self, source, headers, arch, flags):
        made.append(arch)
        return SimpleNamespace(cubin=f"code {len(made)}".encode())

    monkeypatch.setattr(Nvrtc, "compiled", compiled)
    return made


def test_compiled_code_is_cached(tmp_path, compilations):
    cache = tmp_path / "not" / "there"
    assert kernels.cubin("sm_90", cache=cache) == b"code 1"
    assert kernels.cubin("sm_90", cache=cache) == b"code 1"
    assert kernels.cubin("sm_80", cache=cache) == b"code 2"
    assert compilations == ["sm_90", "sm_80"]
    assert len(list(cache.iterdir())) == 2  # and no temporary file


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:32], lambda b: b[:40] + b"!" + b[41:]]
)
def test_damaged_code_is_compiled_again(tmp_path, compilations, damage):
    kernels.cubin("sm_90", cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert kernels.cubin("sm_90", cache=tmp_path) == b"code 2"
    assert kernels.cubin("sm_90", cache=tmp_path) == b"code 2"


def test_another_source_flag_or_compiler_is_compiled_again(tmp_path, compilations, monkeypatch):
    kernels.cubin("sm_90", cache=tmp_path)
    monkeypatch.setattr(kernels, "FLAGS", (*kernels.FLAGS, "-lineinfo"))
    kernels.cubin("sm_90", cache=tmp_path)
    other = tmp_path / "include"
    shutil.copytree(include_folder() / "ddpm_rt", other / "ddpm_rt")
    (other / "ddpm_rt" / "step.h").open("a").write("\n")
    monkeypatch.setattr(kernels, "include_folder", lambda: other)
    kernels.cubin("sm_90", cache=tmp_path)
    monkeypatch.setattr(Nvrtc, "_call", lambda self, name, *_: (13, 9))
    kernels.cubin("sm_90", cache=tmp_path)
    assert len(compilations) == 4


def test_a_cache_that_cannot_be_written_is_not_used(tmp_path, compilations):
    (tmp_path / "file").write_text("")
    for turn in (1, 2):
        assert kernels.cubin("sm_90", cache=tmp_path / "file" / "below") == f"code {turn}".encode()


def test_the_cache_is_in_the_system_s_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "ddpm-rt"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says to ignore relative paths
    assert user_cache().is_absolute()


# Errors


def test_the_error_without_nvrtc_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(DdpmRtError, match=r"NVRTC.* is not installed; pip install 'ddpm-rt\[cuda\]'"):
        kernels.cubin("sm_90", cache=tmp_path)


def test_the_error_without_nvrtc_s_library_says_the_same(monkeypatch, tmp_path):
    def version():
        raise RuntimeError("libnvrtc.so not found")

    monkeypatch.setattr("cuda.bindings.nvrtc.nvrtcVersion", version)
    with pytest.raises(DdpmRtError, match=r"pip install 'ddpm-rt\[cuda\]'"):
        kernels.cubin("sm_90", cache=tmp_path)


def test_the_error_for_an_unknown_architecture_lists_the_known_ones(tmp_path):
    with pytest.raises(DdpmRtError, match=r"cannot compile for sm_70, only for sm_75, .*sm_120"):
        kernels.cubin("sm_70", cache=tmp_path)
    with pytest.raises(ValueError, match="must look like sm_90"):
        kernels.cubin("9.0", cache=tmp_path)


def test_a_source_that_does_not_compile_is_a_one_line_error():
    with pytest.raises(DdpmRtError, match=r"NVRTC .* refuses the kernels \(kernels.cu\(1\): error: ") as caught:
        Nvrtc().compiled("nothing", {}, "sm_90", ())
    assert "\n" not in str(caught.value)
