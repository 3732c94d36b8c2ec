"""Makes text from files, file names and other programs safe to show: printable, on one line, bounded."""

import reprlib

MESSAGE = 300  # most characters of a message about a file
QUOTE = 60  # most characters of a quoted value


def printable(text: str) -> str:
    """`text` with every unprintable character escaped, so that a terminal cannot interpret it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str, limit: int = MESSAGE) -> str:
    """`text` as one printable line of at most `limit` characters. A longer text loses its middle."""
    cut = len(text) > 4 * limit
    if cut:
        text = text[: 2 * limit] + text[-2 * limit :]
    line = printable(" ".join(part.strip() for part in text.splitlines()))
    if len(line) <= limit and not cut:
        return line
    tail = limit // 3
    return f"{line[: limit - tail - 5]} ... {line[-tail:]}"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = QUOTE
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 4
_REPR.maxlevel = 2


def quoted(value: object) -> str:
    """The repr of `value`, cut to at most `QUOTE` characters, for messages about wrong values."""
    try:
        return one_line(_REPR.repr(value), QUOTE)
    except ValueError:  # an integer of more digits than Python writes
        return f"a {type(value).__name__} of too many digits"
