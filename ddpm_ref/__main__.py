"""`python -m ddpm_ref` is `ddpm-rt train`, in the form that torchrun and accelerate can launch."""

import os
import signal
from types import FrameType

WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}


def leave(number: int, frame: FrameType | None) -> None:
    """Ends the process. What is raised while a library is loaded may be printed or lost instead."""
    os.write(2, f"{WORDS[signal.Signals(number).name]}; the same command resumes\n".encode())
    os._exit(128 + number)


def run() -> None:
    """The training itself saves before it ends; until then, and while it writes nothing, a signal ends the process."""
    for name in WORDS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    from .cli import train

    train(prog_name="python -m ddpm_ref")


if __name__ == "__main__":
    run()
