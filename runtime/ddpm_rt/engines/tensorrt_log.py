"""TensorRT's log, the only place where it gives reasons."""

import re
from collections.abc import Callable
from typing import Any


def make_log(trt: Any, show: Callable[[str], object] | None = None) -> Any:
    """A logger that keeps errors in its list `errors`, and passes every line to `show`."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.Logger.ERROR, trt.Logger.INTERNAL_ERROR):
                self.errors.append(message)
            if show is not None:
                show(f"[{severity.name.lower()}] {message}")

    return Log()


def one_line(message: str) -> str:
    """A message of TensorRT without source files and line breaks."""
    text = " ".join(message.split())
    text = re.sub(r"\s*\(?In [\w:~]+ at \S+\.(?:cpp|h):\d+\)?", "", text)
    text = re.sub(r"\[?\S+\.(?:cpp|h):+\d+:? ?(?:\w+\])?:?\s*", "", text)
    text = re.sub(r"^\w+::\w+: Error Code \d+: (?:Myelin )?", "", text)
    return text.strip(" (:")
