"""Upper bounds of what can be asked for: beyond them an option is a typing mistake, or exhausts the machine.

The command line, the Python interface and the readers of files share them.
"""

import numbers
import operator

from .text import quoted

MAX_COUNT = 10_000_000  # samples of one request; `--first` reaches the others
MAX_BATCH = 65_535  # samples of one network call: the second dimension of a CUDA grid
MAX_TIMESTEPS = 65_536  # of the process that a model was trained with, and so steps of a chain
MAX_ROWS = 1_000_000  # rows of a step table that is run, RePaint's repetitions included
MAX_RESAMPLE = 1_000
MAX_GPUS = 1_024
MAX_SIDE = 65_536  # pixels
MAX_ELEMENTS = 1 << 26  # numbers of one image, channels included: 256 MiB of float32
MAX_CLASSES = 2**31 - 1
MAX_SCALE = 1_024  # pixels of a picture for one of the model, in each direction
FLOAT32_MAX = 3.4028234663852886e38


def check_count(name: str, value: object, most: int, least: int = 1) -> int:
    """`value` as an int. Raises ValueError unless it is an integer of some type in [least, most]."""
    number = as_integer(name, value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {quoted(number)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, not {quoted(number)}")
    return number


def as_integer(name: str, value: object) -> int:
    """`value` as an int, which does not overflow as those of NumPy do. Raises ValueError unless it is an integer."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name} must be an integer, not {quoted(value)}") from None
    if isinstance(value, bool):
        raise ValueError(f"{name} must be an integer, not {value}")
    return number


def check_number(name: str, value: object) -> None:
    """Raises ValueError unless `value` is a real number of some type. It may be infinite or NaN."""
    try:
        if isinstance(value, numbers.Real):
            float(value)
            return
    except OverflowError:  # an integer beyond float64
        pass
    raise ValueError(f"{name} must be a number, not {quoted(value)}")
