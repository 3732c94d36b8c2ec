"""The shell completion that docs/reference/cli.md describes."""

import os
import subprocess
import sys

import pytest
from repository import ROOT


def completed(*words: str) -> list[str]:
    """What the shell offers for the last of `words`, by the protocol that the scripts of click use."""
    asked = {"_DDPM_RT_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return ran(asked).splitlines()


def ran(asked: dict[str, str]) -> str:
    command = [sys.executable, "-m", "ddpm_rt"]
    return subprocess.run(command, env={**os.environ, **asked}, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_verbs_options_and_choices_are_completed():
    assert completed("ddpm-rt", "in") == ["plain,interpolate", "plain,invert", "plain,inspect"]
    assert completed("ddpm-rt", "sample", "--sc") == ["plain,--scale"]
    assert completed("ddpm-rt", "sample", "--sampler", "dpm") == ["plain,dpm++", "plain,dpm++sde"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_documented_line_gives_a_script_for_each_shell(shell):
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert f"_DDPM_RT_COMPLETE={shell}_source ddpm-rt" in page
    script = ran({"_DDPM_RT_COMPLETE": f"{shell}_source"})
    assert f"_DDPM_RT_COMPLETE={shell}_complete" in script
