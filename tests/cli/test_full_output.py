"""Stdout and stderr on a full disk, closed or missing: the command prints at most one line and does not succeed."""

import os
import resource
import subprocess
import sys

import pytest

VERIFY = ["verify", "{model}", "--engine-b", "{model}", "--sampler", "ddim", "--steps", "2", "--json", "-"]
COMMANDS = {
    "help": ["--help"],
    "a verb's help": ["sample", "--help"],
    "version": ["--version"],
    "inspect": ["inspect", "{model}"],
    "inspect --json": ["inspect", "{model}", "--json"],
    "doctor": ["doctor"],
    "sample": ["sample", "--engine", "{model}", "--out", "x.npy", "--steps", "2", "--count", "1"],
    "verify --json -": VERIFY,
}  # fmt: skip
LAUNCHERS = {
    "module": [sys.executable, "-m", "ddpm_rt"],
    "script": [sys.executable, "-c", "import sys; from ddpm_rt.__main__ import run; sys.exit(run())"],
}
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")


@pytest.fixture(params=COMMANDS)
def arguments(request, gaussian):
    return [part.format(model=gaussian) for part in COMMANDS[request.param]]


@pytest.mark.slow
@needs_full
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_full_disk_behind_stdout_is_a_one_line_error(tmp_path, arguments, launcher):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*LAUNCHERS[launcher], *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_with_room_for_half_a_line_is_a_one_line_error(tmp_path, gaussian, unbuffered):
    """Unbuffered, Python itself takes half a line for a line."""
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [*LAUNCHERS["module"], "inspect", gaussian], stdout=out, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY)),
        )  # fmt: skip
    assert (done.returncode, (tmp_path / "out").stat().st_size) == (1, 10)
    assert done.stderr == "Error: standard output cannot be written: File too large\n"


@needs_full
def test_a_full_disk_behind_stderr_changes_no_exit_code(tmp_path):
    with open("/dev/full", "wb") as full:
        for arguments, code in ((["inspect", "no.onnx"], 1), (["sample", "--count", "-1"], 2)):
            done = subprocess.run([*LAUNCHERS["module"], *arguments], cwd=tmp_path, capture_output=False, stderr=full)
            assert done.returncode in (1, code)


@pytest.mark.slow
def test_a_closed_pipe_ends_the_command_silently(tmp_path, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*LAUNCHERS["module"], *arguments], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(gaussian, tmp_path, closed):
    line = f'exec "$0" -m ddpm_rt sample --engine "$1" --out x.npy --steps 2 --count 1 {closed}'
    done = subprocess.run(["sh", "-c", line, sys.executable, gaussian], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.npy").stat().st_size == 128 + 4 * 4 * 6  # the header of NumPy, and the numbers


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("name", [b"bad\xff", "grün".encode()])
def test_a_name_beyond_the_terminal_s_encoding_can_be_shown(gaussian, tmp_path, encoding, name):
    command = [*LAUNCHERS["module"], "sample", "--engine", gaussian, "--steps", "2", "--count", "1", "--out", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert os.listdir(os.fsencode(tmp_path / os.fsdecode(name))) == [b"000000.png"]
