"""`ddpm-rt verify`."""

import json

from click.testing import CliRunner

from ddpm_rt.cli import main

OFFSET = 0.015625  # by which the engine `raised` is off; a power of two: exact in float32


def verify(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def measured(*arguments):
    """The exit code, and what --json says."""
    result = verify(*arguments, "--json", "-")
    assert result.stderr == ""
    return result.exit_code, json.loads(result.stdout)
