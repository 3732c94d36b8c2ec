"""The kernels of `ddpm_rt/kernels.cu`, compiled for this machine's GPU once and cached on disk."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DdpmRtError
from ..include import include_folder
from .cache import cache_folder, read_cache, write_cache
from .driver import cuda_core, cuda_errors
from .nvrtc import Compiled, Nvrtc

Kernels = Mapping[str, Any]  # name -> cuda.core.Kernel

NAMES = ("ddpm_rt_begin", "ddpm_rt_resume", "ddpm_rt_step")
WHILE = "ddpm_rt_step_while"  # only with NVRTC 12.4 or later
SOURCE, HEADERS = "kernels.cu", ("noise.h", "step.h")
# The headers use intrinsics, which are never fused. These flags keep all other arithmetic unfused and exactly rounded.
FLAGS = ("-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true")
_SEAL = hashlib.sha256().digest_size


def load_kernels(device: Any) -> Kernels:
    """The kernels by name, on this `cuda.core.Device`. Raises DdpmRtError where they cannot be compiled or loaded."""
    core = cuda_core()
    arch = "sm_{}{}".format(*device.compute_capability)
    with cuda_errors(f"the driver does not take the kernels for {arch}; a newer one may"):
        code = core.ObjectCode.from_cubin(cubin(arch))
        names = (*NAMES, WHILE) if WHILE.encode() in code.code else NAMES
        return {name: code.get_kernel(name) for name in names}


def cubin(arch: str, *, cache: Path | None = None) -> bytes:
    """The kernels for `arch`, such as sm_90, from `cache` (None is the user's cache), else compiled.

    No driver is needed. An unwritable cache is ignored, and a damaged file in it is compiled again. Raises
    DdpmRtError without NVRTC, or for an `arch` that it does not know.
    """
    compiler = Nvrtc()
    folder = cache or cache_folder("kernels")
    path = None if folder is None else folder / f"{arch}-{_key(arch, compiler.version)}.cubin"
    code = _read(path)
    if code is None:
        code = _compiled(compiler, arch).cubin
        write_cache(path, hashlib.sha256(code).digest() + code)
    return code


def compiled(arch: str, *, flags: tuple[str, ...] = ()) -> Compiled:
    """Compile without the cache and with additional flags, to inspect the compiler's output."""
    return _compiled(Nvrtc(), arch, flags)


def _compiled(compiler: Nvrtc, arch: str, flags: tuple[str, ...] = ()) -> Compiled:
    headers = {name: _text(name) for name in HEADERS}
    return compiler.compiled(_text(SOURCE), headers, arch, (*FLAGS, *flags))


def _text(name: str) -> str:
    path = include_folder() / "ddpm_rt" / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be read ({error.strerror}); install ddpm-rt again") from error


def _key(arch: str, version: str) -> str:
    parts = (arch, version, *FLAGS, *map(_text, (SOURCE, *HEADERS)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# A file of the cache holds the SHA-256 of the code, then the code.


def _read(path: Path | None) -> bytes | None:
    content = read_cache(path)
    seal, code = content[:_SEAL], content[_SEAL:]
    return code if code and hashlib.sha256(code).digest() == seal else None
