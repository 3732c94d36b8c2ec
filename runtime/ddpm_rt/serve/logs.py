"""What the server logs: a JSON object a line on stderr, without the inputs of requests."""

import json
import logging
import sys
import time
import traceback
from typing import Any, TextIO

from ..text import one_line

LOGGER = "ddpm_rt.serve"


def event(name: str, /, level: int = logging.INFO, **facts: Any) -> None:
    """Log an event with its facts."""
    logging.getLogger(LOGGER).log(level, name, extra={"facts": facts})


def crash(name: str, error: BaseException, /, **facts: Any) -> None:
    """Log an error that nothing expected, with its traceback."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    event(name, logging.ERROR, error=one_line(repr(error)), traceback=text, **facts)


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {"time": f"{at}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        line["event"] = record.getMessage() if record.name == LOGGER else one_line(record.getMessage())
        line |= getattr(record, "facts", {})
        if record.name != LOGGER:
            line["logger"] = record.name
            if record.exc_info:
                line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to(stream: TextIO | None = None) -> None:
    """Send the events of this package and of uvicorn to a stream, by default stderr."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines())
    for name in (LOGGER, "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [handler] if name != "uvicorn.error" else [], name == "uvicorn.error"
        logger.setLevel(logging.INFO if name == LOGGER else logging.WARNING)
