"""NVIDIA's run-time compiler: CUDA source to machine code for one architecture, without a driver or a toolkit."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import DdpmRtError
from ..extras import install_command

INSTALL = install_command("cuda")


class Compiled(NamedTuple):
    """The compiler's output."""

    cubin: bytes  # machine code; a driver accepts it from a compiler of its own or an older major version
    ptx: str  # intermediate code, for inspection
    log: str


class Nvrtc:
    """The installed compiler. Raises DdpmRtError without one."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import nvrtc

            self._api: Any = nvrtc
            self.version = ".".join(map(str, self._call("nvrtcVersion")))
        except (ImportError, RuntimeError, OSError) as error:
            raise DdpmRtError(f"NVRTC, which compiles the CUDA kernels, is not installed; {INSTALL}") from error

    def compiled(self, source: str, headers: Mapping[str, str], arch: str, flags: Sequence[str]) -> Compiled:
        """Compile for `arch`, such as sm_90. Raises DdpmRtError for one that this NVRTC does not know."""
        self._check_arch(arch)
        names = [name.encode() for name in headers]
        texts = [text.encode() for text in headers.values()]
        (program,) = self._call("nvrtcCreateProgram", source.encode(), b"kernels.cu", len(names), texts, names)
        try:
            options = [f"--gpu-architecture={arch}".encode(), *(flag.encode() for flag in flags)]
            (status,) = self._api.nvrtcCompileProgram(program, len(options), options)
            log = self._text(program, "ProgramLog").decode(errors="replace").strip("\0\n ")
            if status != self._api.nvrtcResult.NVRTC_SUCCESS:
                raise DdpmRtError(
                    f"NVRTC {self.version} refuses the kernels ({_first_error(log)}); {INSTALL} --upgrade"
                )
            cubin, ptx = self._text(program, "CUBIN"), self._text(program, "PTX")
            return Compiled(cubin, ptx.decode().rstrip("\0"), log)
        finally:
            self._api.nvrtcDestroyProgram(program)

    def _check_arch(self, arch: str) -> None:
        if not (match := re.fullmatch(r"sm_(\d+)[af]?", arch)):
            raise ValueError(f"arch must look like sm_90, not {arch!r}")
        (known,) = self._call("nvrtcGetSupportedArchs")
        if int(match[1]) not in known:
            listed = ", ".join(f"sm_{number}" for number in known)
            raise DdpmRtError(
                f"NVRTC {self.version} cannot compile for {arch}, only for {listed}; install one that can"
            )

    def _text(self, program: Any, what: str) -> bytes:
        (size,) = self._call(f"nvrtcGet{what}Size", program)
        text = bytes(size)  # the call below writes into it
        self._call(f"nvrtcGet{what}", program, text)
        return text

    def _call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        status, *results = getattr(self._api, name)(*arguments)
        if status != self._api.nvrtcResult.NVRTC_SUCCESS:
            raise DdpmRtError(f"{name} failed with {status.name}; {INSTALL} --upgrade")
        return tuple(results)


def _first_error(log: str) -> str:
    lines = log.splitlines() or ["it says nothing"]
    return next((line for line in lines if "error" in line), lines[0]).strip()
