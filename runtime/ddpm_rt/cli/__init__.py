"""The command line: one module a verb; `options` declares what the verbs share."""

from .group import main

__all__ = ["main"]
