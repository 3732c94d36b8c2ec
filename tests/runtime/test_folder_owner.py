"""Which processes may work in a folder at the same time."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ddpm_ref.run_owner import owned_run
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts import folder_owner
from ddpm_rt.artifacts.folder_owner import LOCK, exclusive, owned_folder

WORK = {"ddpm-rt.seed": "1", "ddpm-rt.sampler": "ddim"}
OWNER = """
import json, sys
from pathlib import Path
from ddpm_rt.artifacts.folder_owner import owned_folder
with owned_folder(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3], lambda line: print(line, flush=True)):
    print("owned", flush=True)
    sys.stdin.read()
"""
TRAINER = """
import sys
from pathlib import Path
from ddpm_ref.run_owner import owned_run
with owned_run(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


class Process:
    """Another process that owns a folder until the test ends it."""

    def __init__(self, script, *arguments):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        self.run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        return self.run.stdout.readline().strip()

    def end(self):
        self.run.stdin.close()
        assert self.run.wait() == 0
        self.run.stdout.close()


@pytest.fixture
def start():
    """Starts owners, which end with the test."""
    started = []

    def owner(*arguments, script=OWNER):
        started.append(Process(script, *arguments))
        return started[-1]

    yield owner
    for process in started:
        if process.run.poll() is None:
            process.run.kill()
        process.run.wait()
        process.run.stdin.close()
        process.run.stdout.close()


def own(folder, work=WORK, part="0-15"):
    with owned_folder(folder, work, part, lambda line: None):
        pass


def test_no_lock_file_remains_in_the_folder(tmp_path):
    with owned_folder(tmp_path, WORK, "0-15", lambda line: None):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".ddpm-rt.0-15.lock", LOCK]
    assert list(tmp_path.iterdir()) == []


def test_other_work_is_refused_with_a_line_that_names_the_first_process(tmp_path, start):
    first = start(tmp_path, json.dumps(WORK), "0-15")
    assert first.line() == "owned"
    with pytest.raises(DdpmRtError) as refused:
        own(tmp_path, {**WORK, "ddpm-rt.seed": "2"})
    assert f"process {first.run.pid} (-c {tmp_path}" in str(refused.value)
    assert "with seed 1, not 2; wait for it, or use another folder" in str(refused.value)
    first.end()
    own(tmp_path, {**WORK, "ddpm-rt.seed": "2"})


def test_the_same_work_waits_for_its_own_part_only(tmp_path, start):
    first = start(tmp_path, json.dumps(WORK), "0-15")
    assert first.line() == "owned"
    own(tmp_path, part="16-31")
    second = start(tmp_path, json.dumps(WORK), "0-15")
    assert second.line().startswith(f"waiting for process {first.run.pid} (")
    first.end()
    assert second.line() == "owned"
    with pytest.raises(DdpmRtError, match=f"process {second.run.pid}"):
        own(tmp_path, {"ddpm-rt.seed": "2"})
    second.end()
    assert list(tmp_path.iterdir()) == []


def test_the_last_process_that_shares_the_lock_removes_it(tmp_path, start):
    owners = [start(tmp_path, json.dumps(WORK), part) for part in ("0-1", "2-3", "4-5")]
    assert [owner.line() for owner in owners] == ["owned"] * 3
    for owner in owners:
        with pytest.raises(DdpmRtError):
            own(tmp_path, {"ddpm-rt.seed": "2"})
        owner.end()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_owner_owns_nothing(tmp_path, start):
    first = start(tmp_path, json.dumps(WORK), "0-15")
    assert first.line() == "owned"
    os.kill(first.run.pid, signal.SIGKILL)
    first.run.wait()
    assert (tmp_path / LOCK).exists()
    own(tmp_path, {**WORK, "ddpm-rt.seed": "2"})
    assert not (tmp_path / LOCK).exists()


@pytest.mark.slow
def test_a_training_run_has_one_owner_and_refuses_samples(tmp_path, start, monkeypatch):
    monkeypatch.setattr(folder_owner, "PATIENCE", 0.0)
    first = start(tmp_path, script=TRAINER)
    assert first.line() == "owned"
    for refused in (lambda: own(tmp_path), lambda: owned_run(tmp_path).__enter__()):
        with pytest.raises((DdpmRtError, OSError), match=f"in use by process {first.run.pid} \\(-c"):
            refused()
    first.end()
    with owned_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_samples_keep_a_training_run_out(tmp_path, start):
    first = start(tmp_path, json.dumps(WORK), "0-15")
    assert first.line() == "owned"
    with pytest.raises(OSError, match=f"in use by process {first.run.pid}"), owned_run(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"work": 3, "pid": "\\u001b[2J", "command": ["\\u0007"]}'])
def test_foreign_content_of_a_lock_file_is_shown_escaped(tmp_path, monkeypatch, content):
    monkeypatch.setattr(folder_owner, "PATIENCE", 0.0)
    monkeypatch.setattr(folder_owner, "lock", lambda descriptor, **how: False)
    (tmp_path / LOCK).write_bytes(content)
    with pytest.raises(DdpmRtError) as refused:
        own(tmp_path)
    assert str(refused.value).isprintable()


def test_a_file_system_without_locks_causes_a_note_and_no_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_owner, "lock", lambda descriptor, **how: None)
    said = []
    with owned_folder(tmp_path, WORK, "0-15", said.append), owned_folder(tmp_path, {}, "0-15", said.append):
        pass
    assert [line.split(" is on a ")[1] for line in said] == [
        "file system without locks; do not run a second command in it at the same time"
    ] * 2
    with exclusive(tmp_path / "x.lock"), exclusive(tmp_path / "x.lock"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_lock_file_must_be_a_regular_file(tmp_path, kind):
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda path: os.symlink("mine", path)}
    make[kind](tmp_path / LOCK)
    with pytest.raises(DdpmRtError, match=r"\.ddpm-rt\.lock"):
        own(tmp_path)
    assert not (tmp_path / "mine").exists()
