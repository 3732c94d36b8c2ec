"""The checks before a commit and in CI: scripts/check, git hooks, .ci/run and GitHub's workflow."""

import os
import re
import subprocess

import pytest
import yaml
from repository import ROOT, project_metadata

TOOLS = ("ruff", "clang-format", "mypy", "pytest")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def tool(folder, name, code, text=""):
    """A program in `folder` that writes its arguments to NAME.ran, prints a text and exits with a code."""
    program = folder / name
    program.write_text(f'#!/bin/sh\necho "$@" >>{folder}/{name}.ran\necho "{text}"\nexit {code}\n')
    program.chmod(0o755)


@pytest.fixture
def check(tmp_path):
    """Runs scripts/check with fake tools, some of which fail."""

    def run(*arguments, **failing):
        for name in TOOLS:
            tool(tmp_path, name, *failing.get(name.replace("-", "_"), (0,)))
        environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run([ROOT / "scripts" / "check", *arguments], env=environment, capture_output=True, text=True)

    def ran(name):
        log = tmp_path / f"{name}.ran"
        return log.read_text().splitlines() if log.exists() else []

    run.ran = ran
    return run


def test_all_tools_run_and_the_tests_last_on_every_processor(check):
    done = check()
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[0] for line in check.ran("ruff")) == ["check", "format"]
    assert len(check.ran("mypy")) == 1
    assert all(line.startswith("--dry-run --Werror") and ".cpp" in line for line in check.ran("clang-format"))
    assert check.ran("clang-format")
    assert check.ran("pytest") == ["-q --durations=10 --numprocesses auto --dist worksteal"]
    assert done.stdout.splitlines()[:4] == ["ruff_check: ok", "ruff_format: ok", "clang_format: ok", "mypy: ok"]


def test_every_failed_tool_is_shown_with_its_output_and_the_tests_do_not_run(check):
    done = check(mypy=(1, "x.py:3: wrong type"), clang_format=(1, "y.cpp:5: not formatted"))
    assert done.returncode == 1
    assert "ruff_check: ok\n" in done.stdout
    assert "clang_format: FAILED\n    y.cpp:5: not formatted\n" in done.stdout
    assert "mypy: FAILED\n    x.py:3: wrong type\n" in done.stdout
    assert done.stderr == "failed: clang_format mypy; the tests were not run\n"
    assert check.ran("pytest") == []


def test_quick_skips_types_and_slow_tests(check):
    assert check("--quick").returncode == 0
    assert check.ran("mypy") == []
    assert check.ran("pytest") == ["-q --durations=10 -m not slow --numprocesses auto --dist worksteal"]


def test_arguments_go_to_pytest_and_its_exit_code_is_returned(check):
    assert check("tests/ref", "-x", pytest=(5,)).returncode == 5
    assert check.ran("pytest") == ["-q --durations=10 tests/ref -x"]


def test_ci_runs_targets_that_the_makefile_has():
    targets = " ".join(re.findall(r"^timed ([a-z -]+[a-z])", read(".ci/run"), re.MULTILINE)).split()
    assert sorted(targets) == ["cpp-test", "docs", "js-test", "test"]
    assert [name for name in targets if not re.search(rf"^{name}:", read("Makefile"), re.MULTILINE)] == []


def test_the_workflow_runs_the_same_commands():
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands["all"][-1] == ".ci/run"
    assert commands["quick"] == ["make quick CONSTRAINTS="]
    oldest = re.fullmatch(r">=(3\.\d+)", project_metadata()["requires-python"]).group(1)
    assert oldest in jobs["quick"]["strategy"]["matrix"]["python"]


def test_the_hooks_are_the_tools_of_the_script():
    (source,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    entries = [hook["entry"] for hook in source["hooks"]]
    assert {entry.split()[0] for entry in entries} == {f".venv/bin/{name}" for name in TOOLS[:-1]}
    assert {hook["language"] for hook in source["hooks"]} == {"system"}


def test_the_tools_of_the_checks_are_installed_and_pinned():
    """`make` installs the tools in .venv."""
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", read("constraints.txt"), re.MULTILINE))
    wanted = {re.split(r"[>=<\[]", line)[0] for line in project_metadata()["optional-dependencies"]["dev"]}
    assert {*TOOLS, "pre-commit", "pytest-xdist"} <= wanted
    assert wanted - {"ddpm-rt"} - set(pinned) == set()
