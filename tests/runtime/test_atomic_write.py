"""The writer leaves only complete files, replaces only regular files, and leaves no temporary files."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from ddpm_ref import atomic_file
from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts import atomic_write
from ddpm_rt.artifacts.atomic_write import TEMPORARY, replace_file

# The runtime and the reference have one writer each, and both must behave equally.
WRITERS = {"runtime": (replace_file, DdpmRtError), "reference": (atomic_file.write_whole, OSError)}


@pytest.fixture(params=WRITERS)
def writer(request):
    """A writer and its exception."""
    return WRITERS[request.param]


def put(text):
    return lambda file: file.write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced_and_no_other_file_remains(tmp_path, writer):
    for text in ("first", "second"):
        writer[0](tmp_path / "a.txt", put(text))
        assert (tmp_path / "a.txt").read_text() == text
        assert names(tmp_path) == ["a.txt"]


def test_the_temporary_file_has_a_random_name_in_the_same_folder(tmp_path, writer):
    seen = []

    def write(file):
        assert file.stat().st_size == 0
        seen.append(file)

    for _ in range(50):
        writer[0](tmp_path / "a.npy", write)
    assert len({file.name for file in seen}) == 50
    assert {file.parent for file in seen} == {tmp_path}
    assert all(TEMPORARY.fullmatch(file.name) for file in seen)
    assert not any(str(os.getpid()) in re.findall(r"\d+", file.name) for file in seen)


@pytest.mark.parametrize("length", [1, 100, 250, 255])
@pytest.mark.parametrize("suffix", ["", ".png", ".steps.json", "." + "b" * 100])
def test_a_name_of_any_allowed_length_can_be_written(tmp_path, writer, length, suffix):
    name = ("a" * length + suffix)[-length:].lstrip(".") or "a"
    writer[0](tmp_path / name, put("text"))
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_a_one_line_error(tmp_path, writer):
    with pytest.raises(writer[1], match="File name too long"):
        writer[0](tmp_path / ("a" * 256), put("text"))
    assert names(tmp_path) == []


def make(kind, path):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except OSError:
            pytest.skip("only root makes devices")


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
@pytest.mark.parametrize("is_link", [False, True])
def test_only_regular_files_are_replaced(tmp_path, monkeypatch, writer, kind, is_link):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    thing = tmp_path / "thing"
    make(kind, thing.relative_to(tmp_path))
    if is_link:
        (tmp_path / "link").symlink_to("thing")
    before = os.lstat(thing)
    with pytest.raises(writer[1]):
        writer[0](tmp_path / ("link" if is_link else "thing"), put("text"))
    assert (os.lstat(thing).st_mode, os.lstat(thing).st_ino) == (before.st_mode, before.st_ino)
    assert (tmp_path / "link").is_symlink() == is_link


@pytest.mark.parametrize("exists", [True, False])
def test_the_target_of_a_link_is_replaced(tmp_path, writer, exists):
    (tmp_path / "far").mkdir()
    if exists:
        (tmp_path / "far" / "b.txt").write_text("old")
    (tmp_path / "middle").symlink_to("far/b.txt")
    (tmp_path / "a.txt").symlink_to("middle")
    writer[0](tmp_path / "a.txt", put("new"))
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert (tmp_path / "far" / "b.txt").read_text() == "new"
    assert names(tmp_path / "far") == ["b.txt"]


def test_a_link_that_leads_to_itself_is_refused(tmp_path, writer):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(writer[1], match="symbolic links"):
        writer[0](tmp_path / "a", put("new"))
    assert names(tmp_path) == ["a", "b"]


def test_a_link_of_another_user_in_a_public_folder_is_not_followed(tmp_path, monkeypatch):
    public, mine = tmp_path / "public", tmp_path / "mine"
    public.mkdir()
    public.chmod(0o1777)
    mine.write_text("precious")
    (public / "x.txt").symlink_to(mine)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # as if another user had created the link
    monkeypatch.setattr(os, "stat", lambda path, real=os.stat, **how: _of(real(path, **how), os.getuid() + 2))
    with pytest.raises(DdpmRtError, match="link of another user"):
        replace_file(public / "x.txt", put("new"))
    monkeypatch.undo()
    assert mine.read_text() == "precious"
    replace_file(public / "x.txt", put("new"))
    assert mine.read_text() == "new"


def _of(found, user):
    return os.stat_result([user if place == 4 else value for place, value in enumerate(found)])


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, writer, umask):
    before = os.umask(umask)
    try:
        writer[0](tmp_path / "a.txt", put("text"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_replaced_file_keeps_its_mode_even_during_the_write(tmp_path, writer, mode):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "a.txt").chmod(mode)
    seen = []

    def write(file):
        seen.append(stat.S_IMODE(file.stat().st_mode))
        file.write_text("new")

    writer[0](tmp_path / "a.txt", write)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode
    assert seen == [mode | 0o600]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("wrong")])
def test_any_interruption_of_a_write_leaves_only_the_old_file(tmp_path, writer, error):
    (tmp_path / "a.txt").write_text("old")

    def fail(file):
        file.write_text("half")
        raise error

    with pytest.raises(writer[1] if isinstance(error, OSError) else type(error)):
        writer[0](tmp_path / "a.txt", fail)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_file_is_flushed_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch, writer):
    done = []
    sync, move = os.fsync, os.replace

    def seen_sync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size)
        sync(descriptor)

    def seen_move(old, new):
        done.append("rename")
        move(old, new)

    monkeypatch.setattr(os, "fsync", seen_sync)
    monkeypatch.setattr(os, "replace", seen_move)
    writer[0](tmp_path / "a.txt", put("seven s"))
    assert done == [7, "rename", "folder"]


KILLED = """
import os, signal, sys
from pathlib import Path
{imported}
def write(file):
    file.write_text("half")
    if sys.argv[2] == "wait":
        print(file.name, flush=True)
        sys.stdin.read()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
write_file(Path(sys.argv[1]), write)
"""
IMPORTS = {
    "runtime": "from ddpm_rt.artifacts.atomic_write import replace_file as write_file",
    "reference": "from ddpm_ref.atomic_file import write_whole as write_file",
}


@pytest.mark.parametrize("dead", IMPORTS)
@pytest.mark.parametrize("living", IMPORTS)
@pytest.mark.parametrize("sweeper", IMPORTS)
def test_only_the_temporary_files_of_dead_processes_are_swept(tmp_path, monkeypatch, dead, living, sweeper):
    monkeypatch.setattr(atomic_write, "_swept", set())
    monkeypatch.setattr(atomic_file, "_swept", set())
    (tmp_path / ".ddpm-rt.notours.tmp").write_text("another program's")
    command = [sys.executable, "-c", KILLED.format(imported=IMPORTS[living]), tmp_path / "b", "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        held = process.stdout.readline().strip()
        killed = [sys.executable, "-c", KILLED.format(imported=IMPORTS[dead]), tmp_path / "a", "die"]
        assert subprocess.run(killed).returncode == -signal.SIGKILL
        assert len([name for name in names(tmp_path) if TEMPORARY.fullmatch(name)]) == 2
        WRITERS[sweeper][0](tmp_path / "c", put("text"))
        assert names(tmp_path) == sorted([".ddpm-rt.notours.tmp", held, "c"])
        process.stdin.close()
    assert process.returncode == 0
    assert names(tmp_path) == [".ddpm-rt.notours.tmp", "b", "c"]


def test_a_link_named_like_a_temporary_file_is_not_followed_by_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_write, "_swept", set())
    (tmp_path / "mine").write_text("precious")
    planted = tmp_path / f".ddpm-rt.{'a' * 16}.tmp"
    planted.symlink_to("mine")
    os.mkfifo(tmp_path / f".ddpm-rt.{'b' * 16}.tmp")
    replace_file(tmp_path / "c", put("text"))
    assert (tmp_path / "mine").read_text() == "precious"
    assert planted.is_symlink()


def test_without_locks_a_file_is_written_and_nothing_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_write, "_swept", set())
    monkeypatch.setattr(atomic_write, "lock", lambda descriptor, **how: None)
    stale = f".ddpm-rt.{'a' * 16}.tmp"
    (tmp_path / stale).write_text("whose?")
    replace_file(tmp_path / "c", put("text"))
    assert names(tmp_path) == [stale, "c"]
