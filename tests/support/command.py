"""`ddpm-rt` in this process, as a shell has it in another."""

from click.testing import CliRunner, Result

from ddpm_rt.cli import main


def run(*arguments: object) -> Result:
    """What became of `ddpm-rt ARGUMENTS`."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def failed(result: Result, *words: str, code: int = 1) -> None:
    """It ended with this exit code and one line on stderr with these words in it, without a traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert [word for word in words if word not in result.stderr] == [], result.stderr
