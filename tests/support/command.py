"""Runs `ddpm-rt` in this process, with the result that a shell would see."""

from click.testing import CliRunner, Result

from ddpm_rt.cli import main


def run(*arguments: object) -> Result:
    """The result of `ddpm-rt ARGUMENTS`."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def failed(result: Result, *words: str, code: int = 1) -> None:
    """Assert that a command ended with this exit code, and with one line on stderr that contains these words."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert [word for word in words if word not in result.stderr] == [], result.stderr


def sampled(*arguments: object) -> Result:
    """What `ddpm-rt sample` says, which must work."""
    result = run("sample", *arguments)
    assert result.exit_code == 0, result.output
    return result
