"""The one error of this package that is not the caller's mistake."""


class DdpmRtError(Exception):
    """An artefact or the machine is at fault; the message says what is wrong and what to do."""
