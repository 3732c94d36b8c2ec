"""The command lines that scripts/cpp_commands.py runs in C++ and in Python."""

from pathlib import Path
from typing import NamedTuple

from cpp_pictures import READABLE
from cpp_pictures import REFUSED as REFUSED_PICTURES


class Line(NamedTuple):
    """A command line: a model, its steps file (None: the fitted table in the model), and words.

    Words that are names of files of FILES, alone or after NAME=, become their paths.
    """

    model: str
    table: str | None
    words: str

    def cpp(self, program: Path, files: Path, out: Path) -> list[str]:
        return [str(program), *self._words(files, out, [])]

    def python(self, files: Path, out: Path) -> list[str]:
        return self._words(files, out, ["--sampler", "fitted"] if self.table is None else [])

    def _words(self, files: Path, out: Path, table: list[str]) -> list[str]:
        if self.table is not None:
            table = ["--steps-file", str(files / f"{self.table}.steps.json")]
        placed = [_placed(word, files) for word in self.words.split()]
        head = [str(files / f"{self.model}.onnx"), *table, "--threads", "1", "--quiet"]
        return [*head, *placed, *([] if "--out" in placed else ["--out", str(out)])]


GAUSSIAN, IMAGE, COLOR, SEQUENCE = (
    ("gaussian", "ddim"), ("image", "image-ddim"), ("color", "color-ddim"), ("sequence", "sequence-ddim"),
)  # fmt: skip
# what both draw as a grid
GRIDS = [
    *[Line(*GAUSSIAN, f"--count {count} --batch 5") for count in (1, 7, 12)],
    Line("latents", "latents", "--count 7 --batch 5"),
    Line("latents", "latents", "--count 3 --scale 3"),
    Line(*GAUSSIAN, "--stream-steps --seed=9 --first 4 --count 5 --scale 3"),
    Line(*GAUSSIAN, "--first 4 --count 10 --batch 3 --shard 1/2"),
    Line(*GAUSSIAN, "--count 4 --batch 2 --shard 2/3"),
    Line(*GAUSSIAN, "--count 4 --batch 2 --shard 0/3"),  # without samples
    Line("tuned", None, "--count 3"),
    Line("classes", "classes", "--count 5"),
    Line("classes", "classes", "--count 5 --label 2,0 --guidance 2.5"),
    Line("fractional", "fractional", "--count 2"),
    Line("sigma-float32", "sigma-float32-dpm", "--count 2 --input difficulty=0.1"),
    Line("flow", "flow", "--count 3 --input difficulty=difficulty.npy"),
    *[Line(*IMAGE, f"--count 2 --input low_res={name}.png") for name in READABLE],
    Line(*IMAGE, "--count 3 --input low_res=rgb.png --null-input low_res=grey.png --guidance 1.5"),
    Line(*IMAGE, "--count 2 --input low_res=large.png --resize"),
    Line(*COLOR, "--count 2 --input low_res=middle.png"),
    *[
        Line(*COLOR, f"--count 2 --input low_res={name}.png --resize")
        for name in ("large", "large-palette", "rgb", "grey", "middle")
    ],
    Line(*GAUSSIAN, "--count 2 --init-image grey.png --strength 0.4"),
    Line(*GAUSSIAN, "--init-image start-image.npy --strength 0.35"),
    Line(*GAUSSIAN, "--count 2 --init-image rgb.png --mask mask.png --resample 2"),
    Line("classes", "classes", "--count 2 --init-image palette.png"),
    Line(*GAUSSIAN, "--init-noise noise-image.npy"),
    Line("latents", "latents", "--count 2 --init-image start-latents.npy --strength 0.5"),
]
# what both draw into a folder, one after the other
FOLDERS = [
    [Line(*GAUSSIAN, "--count 5 --batch 2 --scale 2")],
    [Line(*GAUSSIAN, f"--count 7 --batch 2 --shard {part}/3") for part in range(3)],
    [Line("latents", "latents", "--first 999999 --count 3")],
    [Line(*GAUSSIAN, "--init-image start-image.npy --batch 2")],
    [Line(*GAUSSIAN, "--init-noise noise-image.npy --batch 2")],
    [Line(*COLOR, "--count 2 --input low_res=large.png --resize")],
    [Line(*SEQUENCE, "--count 3 --batch 2 --input low_res=sequence.npy")],
    [Line("volume", "volume-ddim", "--count 2 --input low_res=0.5")],
]
# what both resume, with a count
RESUMED = [Line(*GAUSSIAN, "--scale 2"), Line(*SEQUENCE, "--input low_res=sequence.npy")]
START = "--init-image start-image.npy"
WITH_INPUT = "--input low_res=0"
# what both refuse, before anything is drawn, with the exit code of a wrong command line
REFUSED = [
    Line(*SEQUENCE, ""),
    Line(*SEQUENCE, "--input low_res"),
    Line(*SEQUENCE, "--input lowres=1"),
    Line(*SEQUENCE, "--input lowres=grey.png"),
    Line(*SEQUENCE, "--input before=1"),
    Line(*SEQUENCE, f"{WITH_INPUT} {WITH_INPUT}"),
    Line(*SEQUENCE, "--input low_res=inf"),
    Line(*SEQUENCE, "--input low_res=volume.npy"),
    Line(*SEQUENCE, "--input low_res=grey.png"),
    Line(*SEQUENCE, f"{WITH_INPUT} --null-input low_res=1"),
    Line(*SEQUENCE, f"{WITH_INPUT} --guidance 2"),
    Line(*SEQUENCE, f"{WITH_INPUT} --out x.png"),
    Line(*SEQUENCE, f"{WITH_INPUT} --out x --scale 2"),
    Line(*SEQUENCE, f"{WITH_INPUT} {START}"),
    Line(*SEQUENCE, "--input low_res=sequence.npy --out sequence.npy"),
    Line("sigma-int64", "sigma-int64-dpm", "--input difficulty=0.5"),
    Line(*GAUSSIAN, "--strength 0.5"),
    Line(*GAUSSIAN, f"{START} --strength 0"),
    Line(*GAUSSIAN, f"{START} --strength 1.5"),
    Line(*GAUSSIAN, f"{START} --resample 2"),
    Line(*GAUSSIAN, f"{START} --count 3"),
    Line(*GAUSSIAN, "--init-noise noise-image.npy --count 3"),
    Line(*GAUSSIAN, f"--init-noise noise-image.npy {START}"),
    Line(*GAUSSIAN, "--init-image middle.png"),
    Line(*GAUSSIAN, f"{START} --mask middle.png"),
    Line(*COLOR, "--input low_res=large.png"),
    *[Line(*GAUSSIAN, f"--shard {part}") for part in ("2/2", "0/0", "1", "-1/2", "x/2", "0/99999999999")],
    Line(*GAUSSIAN, f"{START} --shard 0/2"),
    Line(*GAUSSIAN, "--init-noise noise-image.npy --shard 0/2"),
    *[Line(*GAUSSIAN, f"--scale {scale} --out x.png") for scale in ("0", "1025", "2.5")],
    Line(*GAUSSIAN, "--scale 2"),
    Line(*GAUSSIAN, "--scale 1024 --count 100 --out x.png"),
    *[Line(*GAUSSIAN, f"--{name} 0") for name in ("count", "batch", "threads", "resample")],
    Line(*GAUSSIAN, "--batch 65536"),
    Line(*GAUSSIAN, "--count 10000001"),
    Line("classes", "classes", "--label 0,x"),
    Line("classes", "classes", "--label 3"),
    Line(*GAUSSIAN, "--out x.bmp"),
    Line(*GAUSSIAN, "--engine gaussian.onnx"),
]
# what both cannot read or write
IMPOSSIBLE = [
    *[Line(*IMAGE, f"--input low_res={name}.png") for name in (*REFUSED_PICTURES, "missing")],
    *[Line(*GAUSSIAN, f"--out none/x{suffix}") for suffix in (".png", ".npy")],
]


def _placed(word: str, files: Path) -> str:
    name, equals, value = word.rpartition("=")
    return f"{name}{equals}{files / value}" if (files / value).is_file() else word
