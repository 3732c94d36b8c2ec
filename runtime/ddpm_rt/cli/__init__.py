"""The command line: one module for each verb; `options` declares the shared options."""

from .group import main

__all__ = ["main"]
