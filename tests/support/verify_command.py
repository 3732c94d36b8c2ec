"""Runs `ddpm-rt verify`."""

import json

from click.testing import CliRunner

from ddpm_rt.cli import main

OFFSET = 0.015625  # the error of the engine `raised`; a power of two, which is exact in float32


def verify(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def measured(*arguments):
    """The exit code and the JSON report."""
    result = verify(*arguments, "--json", "-")
    assert result.stderr == ""
    return result.exit_code, json.loads(result.stdout)
