"""The errors of this package that are not the caller's mistake."""

from .text import ANY_MESSAGE, one_line


class DdpmRtError(Exception):
    """An error of a file or the machine. The message says what is wrong and what to do.

    The message is one printable line, even if a file name or a value from a file is not.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message, ANY_MESSAGE))


class NotFiniteError(DdpmRtError):
    """A chain produced values that are not finite."""
