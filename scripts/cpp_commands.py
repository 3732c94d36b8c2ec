"""Run ddpm-rt-cpp and `ddpm-rt sample` over the same command lines, and compare what they write and refuse.

    python scripts/cpp_commands.py BIN FILES FOLDER

BIN is ddpm-rt-cpp, FILES the folder that scripts/cpp_files.py wrote, and FOLDER a folder for the output. Exits with 1
when a pixel, a text in a PNG or a verdict differs.
"""

import contextlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from cpp_lines import FOLDERS, GRIDS, IMPOSSIBLE, REFUSED, RESUMED, Line
from cpp_pictures import MIDDLE
from PIL import Image

from ddpm_rt.artifacts.folder_owner import owned_folder
from ddpm_rt.cli.sample import sample

JPEG_STEPS = 3  # most steps of 255 between two decoders of JPEG, whose rounding the format leaves open


def run_both(line: Line, program: Path, files: Path, outs: tuple[Path, Path]) -> tuple[str, str]:
    """Run a command line in C++ and in Python, into one of `outs` each. Returns what each prints."""
    said = subprocess.run(line.cpp(program, files, outs[0]), check=True, capture_output=True, text=True)
    return said.stdout + said.stderr, in_python(line, files, outs[1])


def in_python(line: Line, files: Path, out: Path) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        sample.main(line.python(files, out), standalone_mode=False)
    return said.getvalue()


def is_equal(first: Path, second: Path) -> bool:
    """Whether two PNG files have equal pixels and texts, other files equal bytes, and folders equal files."""
    if first.is_dir() and second.is_dir():
        names = [sorted(file.name for file in folder.iterdir()) for folder in (first, second)]
        return names[0] == names[1] and all(is_equal(first / name, second / name) for name in names[0])
    if not first.exists() and not second.exists():
        return True
    if first.is_file() and second.is_file() and first.suffix == ".npz":
        return first.read_bytes() == second.read_bytes()
    pictures = [Image.open(path) for path in (first, second) if path.is_file()]
    if len(pictures) < 2 or pictures[0].mode != pictures[1].mode or pictures[0].info != pictures[1].info:
        return False
    return np.array_equal(*map(np.asarray, pictures))


def compare_drawn(program: Path, files: Path, folder: Path) -> bool:
    """Whether both draw the same pictures with the same texts, as grids and in folders."""
    fine = True
    for name, lines in [("grid.png", [line]) for line in GRIDS] + [("folder", lines) for lines in FOLDERS]:
        outs = fresh(folder / "cpp", name), fresh(folder / "python", name)
        for line in lines:
            run_both(line, program, files, outs)
        if not is_equal(*outs):
            print(f"{lines[0]}: DIFFERENT")
            fine = False
    print(f"{len(GRIDS)} grids and {len(FOLDERS)} folders with their texts: {'equal' if fine else 'DIFFERENT'}")
    return fine


def fresh(folder: Path, name: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder / name


def compare_resumed(program: Path, files: Path, folder: Path) -> bool:
    """Whether each resumes a folder of the other, draws damaged files again, and refuses other work in it."""
    results = {}
    for line in RESUMED:
        few, all_, other = (
            line._replace(words=f"{line.words} {more}") for more in ("--count 3", "--count 5", "--seed 1")
        )
        whole = fresh(folder / "whole", "folder")
        in_python(all_, files, whole)
        for first in ("C++", "Python"):
            out = fresh(folder / "resumed", "folder")

            def draw(line: Line, by_cpp: bool, out: Path = out) -> tuple[int, str]:
                python = [sys.executable, "-m", "ddpm_rt", "sample", *line.python(files, out)]
                said = subprocess.run(
                    line.cpp(program, files, out) if by_cpp else python, capture_output=True, text=True
                )
                return said.returncode, said.stdout + said.stderr

            draw(few, first == "C++")
            _, cut, empty = sorted(out.iterdir())
            cut.write_bytes(cut.read_bytes()[:-20])
            empty.write_bytes(b"")
            _, said = draw(all_, first != "C++")
            name = f"{line.model}, begun in {first}"
            results[f"{name}: 1 of 3 kept"] = "1 were there already" in said and "2 were damaged" in said
            results[f"{name}: equal"] = is_equal(out, whole)
            code, said = draw(other, first != "C++")
            results[f"{name}: another seed refused"] = code == 1 and "is another" in said and "seed" in said
            with owned_folder(out, {"ddpm-rt.seed": "7"}, "0-4", print):
                code, said = draw(all_, by_cpp=True)
            results[f"{name}: another command refused"] = code == 1 and "in use" in said and "seed 7, not 0" in said
    return all_hold(results)


def compare_refused(program: Path, files: Path) -> bool:
    """Whether both refuse the same command lines in one line, with the same exit code."""
    results = {}
    for line, code in [*[(line, 2) for line in REFUSED], *[(line, 1) for line in IMPOSSIBLE]]:
        python = [sys.executable, "-m", "ddpm_rt", "sample", *line.python(files, Path("x.npy"))]
        for command in (line.cpp(program, files, Path("x.npy")), python):
            said = subprocess.run(command, capture_output=True, text=True, cwd=files)
            fine = said.returncode == code and said.stderr.strip() and "Traceback" not in said.stderr
            results[f"{' '.join(command)}: exit code {said.returncode}, {said.stderr[-200:]!r}"] = bool(fine)
    print(f"{len(REFUSED)} wrong command lines and {len(IMPOSSIBLE)} files that cannot be read or written")
    return all_hold(results)


def compare_jpeg(program: Path, files: Path, folder: Path) -> bool:
    """Whether the pixels of JPEG files are those of Pillow within JPEG_STEPS. A mask keeps them in the result."""
    mask = np.zeros(MIDDLE, np.uint8)
    mask[0, 0] = 255  # an edit redraws something
    Image.fromarray(mask).save(folder / "corner.png")
    furthest = 0.0
    for name in ("middle-0.jpg", "middle-2.jpg"):
        words = f"--count 1 --input low_res=0 --init-image {name} --mask {folder / 'corner.png'}"
        outs = folder / "cpp.npy", folder / "python.npy"
        run_both(Line("color", "color-ddpm", words), program, files, outs)
        drawn, expected = map(np.load, outs)
        furthest = max(furthest, float(np.abs(drawn - expected)[..., 1:, :].max()) * 127.5)
    print(f"pixels of JPEG files: at most {furthest:.0f} of 255 from Pillow's")
    return furthest <= JPEG_STEPS


def all_hold(results: dict[str, bool]) -> bool:
    for what, holds in results.items():
        if not holds:
            print(f"{what}: DIFFERENT")
    print(f"{sum(results.values())} of {len(results)} hold")
    return all(results.values())


def main(program: Path, files: Path, folder: Path) -> int:
    program, files, folder = program.resolve(), files.resolve(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    checks = [compare_drawn, compare_resumed, compare_jpeg]
    fine = [check(program, files, folder) for check in checks] + [compare_refused(program, files)]
    return not all(fine)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
