"""Commands as child processes: forked from this process, which has the libraries loaded, or newly started."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

STDOUT, STDERR = ".stdout", ".stderr"  # written beside the folder in which the command runs
TERM_BIT = 1 << (signal.SIGTERM - 1)
LINES, LETTERS = 6, 2000  # limits of a command's stderr


@dataclass
class Ended:
    """How a child ended: exit code (-N after an unhandled signal N), output, and duration in seconds."""

    code: int
    out: str
    err: str
    seconds: float

    def faults(self, *codes: int) -> list[str]:
        """The faults of this end. `codes` are the accepted exit codes."""
        found = [] if self.code in codes else [f"exit code {self.code}"]
        found += ["a traceback"] if "Traceback" in self.err + self.out else []
        found += ["too many lines"] if len(self.err.strip().splitlines()) > LINES or len(self.err) > LETTERS else []
        return [f"{fault}: {self.err.strip()[-300:]}" for fault in found]


class Child:
    """A running command in `folder`."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, *, fresh: bool = False, limit: int | None = None
    ) -> None:
        self.folder, self.started = folder, time.monotonic()
        self.outputs = [folder.with_name(folder.name + f".{time.monotonic_ns()}{name}") for name in (STDOUT, STDERR)]
        self.pid = self._start(arguments, limit) if fresh else self._fork(arguments, limit)

    def _start(self, arguments: Sequence[str], limit: int | None) -> int:
        files = [path.open("wb") for path in self.outputs]
        process = subprocess.Popen(
            [sys.executable, "-m", "ddpm_rt", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=files[0],
            stderr=files[1],
            preexec_fn=lambda: _prepare(limit),
        )
        for file in files:
            file.close()
        process.returncode = 0  # this class waits for the process, so `subprocess` must not
        return process.pid

    def _fork(self, arguments: Sequence[str], limit: int | None) -> int:
        child = os.fork()
        if child:
            return child
        try:
            os.chdir(self.folder)
            for number, path in enumerate(self.outputs, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            _prepare(limit)
            run_program(arguments)
        finally:
            sys.stdout.flush()
            os._exit(70)

    def is_ready(self) -> bool:
        """Whether the child handles signals. Also true if the child has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return True
        caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "SigCgt: 0")
        return bool(int(caught.split()[1], 16) & TERM_BIT) or "State:\tZ" in status

    def send(self, number: int) -> None:
        os.kill(self.pid, number)  # an ended child still exists until it is waited for

    def end(self, seconds: float = 3600.0) -> Ended:
        """Wait for the child. After `seconds` it is killed, and its exit code is 124."""
        late = False
        while True:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                break
            if not late and time.monotonic() - self.started > seconds:
                late = True
                self.send(signal.SIGKILL)
            time.sleep(0.002)
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in self.outputs)
        for path in self.outputs:
            path.unlink(missing_ok=True)
        code = 124 if late else os.waitstatus_to_exitcode(status)
        return Ended(code, out, err, time.monotonic() - self.started)


def _prepare(limit: int | None) -> None:
    """Set the limit on the size of files, and the signal handling of a foreground process of a shell."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def run_program(arguments: Sequence[str]) -> NoReturn:
    """Do the work of `python -m ddpm_rt ARGUMENTS` in this forked process, which has its parent's Python streams."""
    from ddpm_rt import __main__ as program

    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["ddpm-rt", *arguments]
    try:
        program.run()
        _flush()
        os._exit(0)
    except SystemExit as end:
        _flush()
        os._exit(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
    except BaseException:
        import traceback

        traceback.print_exc(file=sys.stderr)
        _flush()
        os._exit(1)


def _flush() -> None:
    """Flush both streams, of which the program has handled the failures."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def command(arguments: Sequence[str], folder: Path, **how: object) -> Ended:
    """Run a command and wait for it."""
    return Child(arguments, folder, **how).end()  # type: ignore[arg-type]


def preload() -> None:
    """Import the libraries of the verbs, so that a forked child starts after the imports."""
    import accelerate  # noqa: F401
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    from PIL import Image, PngImagePlugin  # noqa: F401

    import ddpm_rt.cli.drawing
    import ddpm_rt.cli.verify
    import ddpm_rt.engines.opening
    import ddpm_rt.verify.html
    import ddpm_rt.verify.png  # noqa: F401
