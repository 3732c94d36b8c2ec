"""The errors in a user's files. Each message names the file and the key.

A message is one printable line of at most 300 characters, even if a file name or a value from a file is not.
"""

from .text import one_line


class InputError(ValueError):
    """An error in the user's input, and the base class of the errors below."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class FileError(InputError):
    """A file that cannot be read, or exceeds the limits."""


class ConfigError(InputError):
    """A UNet configuration that cannot be built as written."""


class CheckpointError(InputError):
    """A checkpoint that is damaged, incomplete or not supported."""


class DataError(InputError):
    """Training data that cannot be used."""


class RecipeError(InputError):
    """A training recipe with an unknown, missing or invalid value."""


class OutputError(OSError):
    """A file or folder that cannot be written."""
