"""The cache of kernels that TensorRT-RTX has compiled."""

from pathlib import Path

import pytest
from plan_bench import images

from ddpm_rt.artifacts.plan_record import read_plan

pytest.importorskip("cuda.core")


def cache_files(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_kernels_that_rtx_compiled_are_cached(bench, tmp_path):
    machine = bench(module="tensorrt_rtx")
    for known in (b"fresh", b"kernels of Context"):
        denoise = machine.denoiser()
        assert machine.state.caches[-1].content == known
        denoise(*images(machine.card, 1))
        denoise.close()
        (file,) = cache_files(tmp_path)
        assert file.name == f"{read_plan(machine.path).sha256}.cache"
        assert file.read_bytes() == b"kernels of Context"


def test_a_damaged_or_read_only_cache_is_ignored(bench, tmp_path):
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


def test_a_user_without_a_home_folder_needs_no_cache(bench, monkeypatch):
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
