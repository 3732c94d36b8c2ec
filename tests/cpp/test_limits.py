"""The limits of the C and C++ library are those of Python."""

import re
from pathlib import Path

from ddpm_rt import limits, text
from ddpm_rt.artifacts import bounded_read, card, card_facts, facts
from ddpm_rt.engines import engine_options
from ddpm_rt.images import canvas

HEADER = Path(__file__).parents[2] / "runtime/cpp/src/limits.hpp"
LIMIT = re.compile(r"^inline constexpr [\w:]+ (\w+) = ([^;]+);", re.MULTILINE)
NOT_IN_PYTHON = {
    "MAX_MODEL_BYTES",  # onnxruntime and TensorRT open the model
    "MAX_STREAMS",  # of the device loop, whose caller is Python code
}
ELSEWHERE = {  # in Python; the others have the same name in `ddpm_rt.limits`
    "MAX_TEXT_BYTES": bounded_read.TEXT_BYTES,
    "MAX_PICTURE_BYTES": bounded_read.PICTURE_BYTES,
    "MAX_JSON_DEPTH": bounded_read.NESTING,
    "MAX_DIGITS": bounded_read.DIGITS,
    "MAX_KEYS": bounded_read.KEYS,
    "MAX_NAME_CHARACTERS": facts.TEXT,
    "MAX_CARD_ENTRIES": card.ENTRIES,
    "MAX_INPUTS": card_facts.INPUTS,
    "MAX_INPUT_RANK": card_facts.RANK,
    "MAX_THREADS": engine_options.MAX_THREADS,
    "MAX_PIXELS": canvas.MAX_PIXELS,
    "MAX_MESSAGE_CHARACTERS": text.MESSAGE,
}


def test_the_limits_of_the_c_library_are_those_of_python():
    found = {name: value_of(expression) for name, expression in LIMIT.findall(HEADER.read_text())}
    shared = {name: getattr(limits, name) for name in dir(limits) if name.startswith("MAX_")}
    expected = shared | ELSEWHERE
    assert {name: value for name, value in found.items() if name not in NOT_IN_PYTHON} == expected


def value_of(expression: str) -> int:
    """The value of a C++ integer such as 65'535 or std::size_t{16} << 20."""
    number, _, shift = re.sub(r"[\w:]+\{(\d+)\}", r"\1", expression.replace("'", "")).partition("<<")
    return int(number) << int(shift or 0)
