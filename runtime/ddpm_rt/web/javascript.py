"""The JavaScript of a site: this project's own, and ONNX Runtime's, which npm fetches once."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..artifacts.atomic_write import replace_file
from ..artifacts.bounded_read import failure, is_regular, read_bytes
from ..errors import DdpmRtError

HERE = Path(__file__).parents[1]
FOLDERS = (HERE / "js", HERE.parent / "js")  # in an installed package, and in a checkout
ORT_PACKAGE, ORT_VERSION = "onnxruntime-web", "1.30.0"
ORT_SHA512 = (  # of the package's archive
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
ORT_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
GPU_FILES = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
FILE_BYTES = 64 << 20  # the largest size of a file
ARCHIVE_LIMIT = 256 << 20
SECONDS = 600  # of one download
BY_HAND = f"or unpack the npm package {ORT_PACKAGE} and name its folder dist with --ort"


def own_files() -> dict[str, bytes]:
    """The files of runtime/js that a site has, by their paths in it: `src/` and `page/`."""
    root = next((folder for folder in FOLDERS if (folder / "src" / "index.js").is_file()), None)
    if root is None:
        raise DdpmRtError("the JavaScript of ddpm-rt is not in this installation; install the package again")
    paths = [
        *sorted((root / "src").glob("*.js")),
        *sorted(path for path in (root / "page").iterdir() if path.is_file()),
    ]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def ort_files(folder: Path | None, *, webgpu: bool = False) -> dict[str, bytes]:
    """ONNX Runtime's files by their names: those in `folder`, else those of the cache, which npm fills.

    With `webgpu`, those of GPU_FILES too. Raises DdpmRtError where a file is missing, or npm cannot fetch the package.
    """
    names = ORT_FILES + (GPU_FILES if webgpu else ())
    if folder is not None:
        return {name: read_bytes(folder / name, f"name the folder dist of {ORT_PACKAGE}", FILE_BYTES) for name in names}
    kept = _cache() / f"{ORT_PACKAGE}-{ORT_VERSION}.tgz"
    if not is_regular(kept):
        _fetch(kept)
    content = read_bytes(kept, "remove it, and try again", ARCHIVE_LIMIT)
    if hashlib.sha512(content).hexdigest() != ORT_SHA512:
        raise failure(kept, "is not the package that this release was tested with", "remove it, and try again")
    return _unpacked(kept, content, names)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddpm-rt"


def _fetch(target: Path) -> None:
    """Have npm download the package, which checks it against the registry's own hash, and keep it as `target`."""
    npm = shutil.which("npm")
    if npm is None:
        raise DdpmRtError(f"npm, which fetches {ORT_PACKAGE}, is not installed; install Node.js, {BY_HAND}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", f"{ORT_PACKAGE}@{ORT_VERSION}"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DdpmRtError(f"npm cannot fetch {ORT_PACKAGE}: {error}; try again, {BY_HAND}") from error
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            reason = (done.stderr.strip().splitlines() or ["no archive"])[0]
            raise failure(f"npm cannot fetch {ORT_PACKAGE}:", reason, f"try again, {BY_HAND}")
        content = found[0].read_bytes()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DdpmRtError(f"{target.parent} cannot be made: {error.strerror}") from error
    replace_file(target, lambda file: file.write_bytes(content))


def _unpacked(path: Path, content: bytes, names: Sequence[str]) -> dict[str, bytes]:
    wanted = {PurePosixPath("package/dist") / name: name for name in names}
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            name = wanted.get(PurePosixPath(member.name))
            stream = archive.extractfile(member) if name is not None and member.size <= FILE_BYTES else None
            if name is not None and stream is not None:
                files[name] = stream.read()
    if missing := [name for name in names if name not in files]:
        raise failure(path, f"lacks {missing[0]}", "remove it, and try again")
    return files
