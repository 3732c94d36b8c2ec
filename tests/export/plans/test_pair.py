"""A plan and its record are replaced together, even if the process is killed."""

import dataclasses
import hashlib
import os
import signal
import stat

import pytest
from gaussian_model import gaussian_card
from plan_files import BUILD

from ddpm_export.plans.pair import check_pair, settle_pair, write_pair
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, pending_path, read_plan, sidecar_path
from ddpm_rt.stopping import stopped_by_signals

# The operations of `write_pair` on files, as functions of `os`.
OPERATIONS = ("open", "replace", "unlink", "fsync", "chmod")


@pytest.fixture(autouse=True)
def no_flush(monkeypatch):
    """Skip flushing, which is slow: killing a process loses no written data, flushed or not."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def pair(seed):
    """A fake plan and its record. Plans of the same card contain the same name."""
    content = b"vtrt" + bytes([seed]) * 100 + network_name(gaussian_card()).encode()
    record = PlanRecord(gaussian_card(), BUILD, len(content), hashlib.sha256(content).hexdigest())
    return content, dataclasses.replace(record, build=dataclasses.replace(BUILD, version=str(seed)))


def put(plan, seed):
    write_pair(plan, *pair(seed))


def is_pair(plan, seed):
    content, record = pair(seed)
    return plan.read_bytes() == content and read_plan(plan) == record


def end_at(place, number):
    """Make the operation `place` on a file send this process a signal before it finishes."""
    done = 0

    def counted(real):
        def operation(*arguments, **options):
            nonlocal done
            done += 1
            if done == place:
                os.kill(os.getpid(), number)
            return real(*arguments, **options)

        return operation

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))


def killed(plan, seed, place, number):
    """The exit code of a child process that writes a pair and gets a signal at operation `place`."""
    child = os.fork()
    if child == 0:
        try:
            with stopped_by_signals():
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                end_at(place, number)
                put(plan, seed)
                os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_at_any_moment_leaves_the_old_pair_or_the_new_pair(tmp_path, number):
    plan, place, seen = tmp_path / "unet.plan", 0, set()
    put(plan, 0)
    while True:
        place += 1
        old, new = place - 1, place
        code = killed(plan, new, place, number)
        kept = [seed for seed in (old, new) if is_pair(plan, seed)]
        assert len(kept) == 1, f"at operation {place}"
        seen.add(kept[0] == new)
        if number != signal.SIGKILL:
            assert {path.name for path in tmp_path.iterdir()} == {"unet.plan", "unet.plan.json"}
        if code == 0:
            break
        assert code == (-number if number == signal.SIGKILL else 128 + number)
        put(plan, new)  # the leftovers of a killed process do not block the next write
        assert is_pair(plan, new)
    assert place > 15
    assert seen == {False, True}


@pytest.mark.slow
@pytest.mark.parametrize("known", [0, 1])
def test_a_pending_record_survives_another_kill(tmp_path, known):
    """One process is killed before (0) or after (1) it renames the plan; then another is killed at any place."""
    plan, waiting, place = tmp_path / "unet.plan", tmp_path / "waiting", 0
    put(plan, 1)
    sidecar_path(plan).rename(waiting)
    put(plan, known)
    if known == 1:
        put(tmp_path / "old.plan", 0)
        sidecar_path(tmp_path / "old.plan").replace(sidecar_path(plan))
        (tmp_path / "old.plan").unlink()
    waiting.rename(pending_path(plan))
    state = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert is_pair(plan, known)
    code = None
    while code != 0:
        place += 1
        code = killed(plan, 2, place, signal.SIGKILL)
        assert [seed for seed in (0, 1, 2) if is_pair(plan, seed)] in ([known], [2]), place
        for path in tmp_path.iterdir():
            path.unlink()
        for name, content in state.items():
            (tmp_path / name).write_bytes(content)
    assert place > 15


def test_a_plan_that_cannot_be_written_leaves_the_old_pair(tmp_path, monkeypatch):
    plan = tmp_path / "unet.plan"
    put(plan, 0)
    real = os.replace

    def full(old, new):
        if new == plan:
            raise OSError(28, "No space left on device")
        real(old, new)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DdpmRtError, match=r"unet\.plan cannot be written: No space left"):
        put(plan, 1)
    assert is_pair(plan, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unet.plan", "unet.plan.json"]


def test_a_record_that_cannot_be_renamed_is_still_found(tmp_path, monkeypatch):
    plan = tmp_path / "unet.plan"
    put(plan, 0)
    real = os.replace

    def refused(old, new):
        if new == sidecar_path(plan):
            raise OSError(5, "Input/output error")
        real(old, new)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(DdpmRtError, match=r"unet\.plan\.json cannot be written"):
        put(plan, 1)
    assert is_pair(plan, 1)
    monkeypatch.undo()
    settle_pair(plan)
    assert is_pair(plan, 1)
    assert not pending_path(plan).exists()


@pytest.mark.parametrize("place", [sidecar_path, pending_path])
def test_a_folder_in_place_of_the_record_is_refused_before_the_plan_changes(tmp_path, place):
    plan = tmp_path / "unet.plan"
    plan.write_bytes(b"old")
    place(plan).mkdir()
    for refused in (check_pair, lambda plan: put(plan, 1)):
        with pytest.raises(DdpmRtError, match="Is a directory"):
            refused(plan)
    assert plan.read_bytes() == b"old"


def test_a_record_keeps_its_mode_and_its_link(tmp_path):
    plan, far = tmp_path / "unet.plan", tmp_path / "far.json"
    put(plan, 0)
    sidecar_path(plan).chmod(0o600)
    put(plan, 1)
    assert stat.S_IMODE(sidecar_path(plan).stat().st_mode) == 0o600
    sidecar_path(plan).rename(far)
    sidecar_path(plan).symlink_to(far.name)
    put(plan, 2)
    assert is_pair(plan, 2)
    assert sidecar_path(plan).is_symlink()
    assert file_sha256(plan) in far.read_text()


@pytest.mark.slow
def test_four_writers_leave_one_matching_pair(tmp_path):
    plan, children = tmp_path / "unet.plan", []
    for seed in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                for _ in range(20):
                    put(plan, seed)
                os._exit(0)
            finally:
                os._exit(1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert sum(is_pair(plan, seed) for seed in range(4)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unet.plan", "unet.plan.json"]
