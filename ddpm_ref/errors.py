"""What can be wrong with what a user brings; each message names the file and the key."""

LONGEST = 60  # characters of a value that a message repeats


def shown(value: object) -> str:
    """A value from a file as a message may repeat it: printable, and not longer than a person reads."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # an integer of too many digits, a value that is nested too deep
        text = type(value).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class ConfigError(ValueError):
    """A UNet configuration that cannot be built as written."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, incomplete or not supported."""


class DataError(ValueError):
    """Training data that cannot be used."""


class RecipeError(ValueError):
    """A training recipe that cannot be followed."""


class OutputError(OSError):
    """A file or folder that cannot be written where it was asked for."""
