"""Shared folders are made once, and are complete."""

import subprocess
import sys
from pathlib import Path

import pytest
from shared_files import SharedFiles

PROCESS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from shared_files import SharedFiles

def make(folder):
    (folder / "one").write_text("1")
    with Path(sys.argv[2], "makers").open("a") as makers:
        makers.write("made\\n")
    time.sleep(0.05)  # other processes ask while the folder is incomplete
    (folder / "two").write_text("2")

found = SharedFiles(Path(sys.argv[2])).folder("it", make)
sys.exit(sorted(path.name for path in found.iterdir()) != ["one", "two"])
"""


def test_concurrent_processes_share_one_complete_folder(tmp_path):
    command = [sys.executable, "-c", PROCESS, Path(__file__).parent, tmp_path]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert (tmp_path / "makers").read_text() == "made\n"


def test_a_failed_folder_is_made_again(tmp_path):
    shared = SharedFiles(tmp_path / "shared")

    def broken(folder):
        (folder / "half").touch()
        raise ValueError("no room")

    for _ in range(2):
        with pytest.raises(ValueError, match="no room"):
            shared.folder("it", broken)
    made = shared.folder("it", lambda folder: (folder / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert shared.folder("it", broken) == made
