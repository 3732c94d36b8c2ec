"""The errors of this package that are not the caller's mistake."""

from .text import ANY_MESSAGE, one_line


class DdpmRtError(Exception):
    """An artefact or the machine is at fault; the message says what is wrong and what to do.

    The message is one printable line, whatever a file name or a value from a file holds.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message, ANY_MESSAGE))


class NotFiniteError(DdpmRtError):
    """A chain gave values that are not finite."""
