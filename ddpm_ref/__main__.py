"""`python -m ddpm_ref` runs `ddpm-rt train`, in the form that torchrun and accelerate can launch."""

import os
import signal
from types import FrameType

WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}


def leave(number: int, frame: FrameType | None) -> None:
    """End the process at once. An exception raised while a library loads could be printed as a traceback, or lost."""
    os.write(2, f"{WORDS[signal.Signals(number).name]}; the same command resumes\n".encode())
    os._exit(128 + number)


def run() -> None:
    """Run the training command. A signal ends the process until the training loop starts; the loop saves first."""
    for name in WORDS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    from .cli import train

    try:
        train(prog_name="python -m ddpm_ref")
    finally:
        for name in WORDS:  # the command is done; while Python ends, it would let a signal kill the process
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)


if __name__ == "__main__":
    run()
