"""A signal ends a command with one line, only complete files, and exit code 128 + the signal's number."""

import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# Sends this process a signal at the start of a known call, independent of the speed of the machine. The whole program
# runs in this process, as by `python -m ddpm_rt`.
AT = """
import os, signal, sys
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
from ddpm_rt import __main__ as program
number, place, call = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.argv[1:] = sys.argv[4:]
module, owner, method = place.split(":")
def patch():
    import importlib
    holder = getattr(importlib.import_module(module), owner) if owner else importlib.import_module(module)
    real, calls = getattr(holder, method), 0
    def called(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # an impatient user presses Ctrl-C twice
        return real(*arguments, **options)
    setattr(holder, method, called)
patch()
program.run()
"""
PLACES = {  # the place of the signal, and the words of the message
    "in a call of the network": ("onnxruntime:InferenceSession:run", 12),
    "while a picture is encoded": ("PIL.Image:Image:save", 3),
    "while a file is flushed": ("os::fsync", 3),
    "before a file has its name": ("os::replace", 3),
    "while the folder is looked at": ("ddpm_rt.images.folder:SampleFolder:missing", 1),
    "while the lock is taken": ("fcntl::flock", 2),
}


def ended(number, place, call, *arguments, cwd):
    command = [sys.executable, "-c", AT, str(int(number)), place, str(call), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("when", PLACES)
def test_a_signal_while_a_folder_is_drawn_keeps_complete_files(gaussian, tmp_path, number, when):
    command = ("sample", "--engine", gaussian, "--out", "out", "--steps", 4, "--count", 9, "--batch", 3, "--quiet")
    done = ended(number, *PLACES[when], *command, cwd=tmp_path)
    assert done.returncode == 128 + number, done.stderr
    assert done.stdout == ""
    word = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}[number.name]
    assert done.stderr.startswith(f"{word}; "), done.stderr
    assert done.stderr.count("\n") == 1
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    if when == "while the lock is taken":  # the lock file may stay, and does not block other commands
        files = [name for name in files if not name.endswith(".lock")]
    assert files == [f"{sample:06d}.png" for sample in range(len(files))]
    if "images are in out" in done.stderr:
        assert f" {len(files)} of 9 images are in out; the same command resumes" in done.stderr
    for name in files:
        with Image.open(tmp_path / "out" / name) as picture:
            picture.load()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["x.npy", "x.png", "x.gif"])
@pytest.mark.parametrize("place", ["os::fsync", "os::replace"])
def test_a_signal_while_a_file_is_written_leaves_the_old_one(gaussian, tmp_path, number, name, place):
    (tmp_path / name).write_text("old")
    command = ("sample", "--engine", gaussian, "--out", name, "--steps", 2, "--count", 3, "--quiet")
    done = ended(number, place, 1, *command, cwd=tmp_path)
    assert done.returncode == 128 + number, done.stderr
    assert f"{name} was not written; the same command starts again\n" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


# The signal comes while a module loads: once in the import itself, once in a finalizer, where exceptions are lost.
IMPORTS = """
import importlib.abc, os, signal, sys, weakref
signal.signal(signal.SIGINT, signal.default_int_handler)
for each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)
number, name, way = int(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.argv[1:] = sys.argv[4:]
class Thing:
    def __del__(self):
        os.kill(os.getpid(), number)
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, wanted, path, target=None):
        if wanted == name:
            if way == "finalizer":
                Thing()
            else:
                os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
import runpy
runpy.run_module("ddpm_rt", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["click", "numpy", "numpy.linalg", "onnxruntime.capi._pybind_state", "PIL.Image"])
@pytest.mark.parametrize("way", ["import", "finalizer"])
def test_a_signal_while_a_library_loads_ends_the_command_in_one_line(gaussian, tmp_path, number, name, way):
    command = ["sample", "--engine", gaussian, "--out", "x.png", "--steps", "2", "--count", "1"]
    done = subprocess.run(
        list(map(str, [sys.executable, "-c", IMPORTS, int(number), name, way, *command])),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        pytest.fail(f"{name} was not loaded")
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_ignored_signal_stays_ignored(gaussian, tmp_path, number):
    """Signals are ignored under nohup, and in background jobs of scripts."""
    script = AT.replace("os.kill(os.getpid(), number)", "os.kill(os.getpid(), number)", 1)
    script = script.replace(
        "from ddpm_rt import", "signal.signal(int(sys.argv[1]), signal.SIG_IGN)\nfrom ddpm_rt import", 1
    )
    command = ["sample", "--engine", str(gaussian), "--out", "x.npy", "--steps", "2", "--count", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(int(number)), "os::replace", "1", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.npy").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "place", "call"), [
    ("steps {model} --steps 4 -o x.json", "os::replace", 1),
    ("verify {model} --engine-b {model} --sampler ddim --steps 3 --json x.json", "os::fsync", 1),
    ("verify {model} --engine-b {model} --sampler ddim --steps 3 --out x.html", "os::fsync", 1),
    ("verify {model} --engine-b {model} --sampler ddim --steps 3 --png x.png", "PIL.Image:Image:save", 1),
    ("invert z.npy --engine {model} --steps 2 -o x.npy", "os::replace", 1),
    ("card {model} -o x.onnx --betas linear:40:1e-3:0.3 --prediction eps --variance fixed_small --clip none",
     "onnxruntime:InferenceSession:run", 1),
])  # fmt: skip
def test_a_signal_in_any_verb_that_writes_leaves_nothing(gaussian, tmp_path, verb, place, call):
    import numpy as np

    np.save(tmp_path / "z.npy", np.zeros((1, 1, 4, 6), np.float32))
    done = ended(signal.SIGTERM, place, call, *verb.format(model=gaussian).split(), cwd=tmp_path)
    assert done.returncode == 143, done.stderr
    assert done.stderr.startswith("terminated; ")
    assert os.listdir(tmp_path) == ["z.npy"]


@pytest.mark.slow
def test_a_signal_after_the_command_is_done_changes_nothing(gaussian, tmp_path):
    """At its exit Python restores the default handlers of signals."""
    script = (
        "import atexit, os, signal, sys\n"
        "number = int(sys.argv.pop(1))\n"
        "signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid()):\n"
        "        kill(pid, number)\n"
        "sys.last_of_all = Last()\n"
        "atexit.register(lambda: os.kill(os.getpid(), number))\n"
        "from ddpm_rt.__main__ import run\n"
        "run()"
    )
    for number in SIGNALS:
        command = [sys.executable, "-c", script, str(int(number)), "inspect", str(gaussian)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
