"""Opens a checkpoint of any supported layout.

`diffusers`, `guided`, `lucidrains` and `pytorch_diffusion` each know one layout: `matches` recognises its weights,
`load` builds the network and its facts. A new layout is such a module and a line in `LAYOUTS`. `candidates` finds the
networks in a file, and `selection` chooses one by the name that the user gave. `autoencoder` reads the decoder of a
latent pipeline.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from ddpm_ref.errors import CheckpointError
from ddpm_ref.text import quoted

from . import diffusers, guided, lucidrains, pytorch_diffusion
from .autoencoder import load_autoencoder
from .betas_buffers import betas_in
from .candidates import Candidate, Contents, Layout, check_numbers, check_pixels, find, notes
from .facts import Facts, read_facts
from .selection import TOP, Selection
from .source import Source
from .state_file import read_state
from .weight_files import read_folder

ACCEPTED = (
    "a directory that diffusers saved (unet/config.json or config.json), or a state dict of guided-diffusion "
    "(input_blocks.*), denoising_diffusion_pytorch (time_mlp.*) or pytorch_diffusion (temb.dense.*)"
)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MOST_FITTING = 8  # most networks of one file that are tried

LAYOUTS = {  # of one weights file
    "guided": Layout(guided.ANCHOR, guided.matches, guided.load),
    "pytorch_diffusion": Layout(pytorch_diffusion.ANCHOR, pytorch_diffusion.matches, pytorch_diffusion.load),
    "lucidrains": Layout(lucidrains.ANCHOR, lucidrains.matches, lucidrains.load, keeps_betas=True),
    "diffusers": Layout(diffusers.ANCHOR, diffusers.matches, diffusers.load_beside_config),
}

__all__ = ["ACCEPTED", "Facts", "Source", "open_source", "read_facts"]


def open_source(path: Path | str, config: Path | None = None, *, weights: str | None = None) -> Source:
    """Read the checkpoint at `path`, in any supported layout. `config` is a TOML file with facts that weights lack.

    Without `config`, a TOML file with the name of the weights file is used (`model.toml` for `model.pt`). `weights`
    names one of several networks (`ema`) and overrides the TOML file's `weights`. Raises CheckpointError, one line that
    names the file and the key, for a checkpoint that cannot be read.
    """
    path = Path(path)
    is_folder, is_there = _look(path)
    if not is_there:
        raise _absent(path)
    if config is None and not is_folder and path.with_suffix(".toml").is_file():
        config = path.with_suffix(".toml")
    facts = read_facts(config)
    facts = facts if weights is None else dataclasses.replace(facts, weights=weights)
    selection = Selection(path, facts.weights)
    source = _open_folder(path, facts, selection) if is_folder else _open_file(path, facts, selection)
    selection.finish()
    return source


def _open_folder(path: Path, facts: Facts, selection: Selection) -> Source:
    if (path / "snapshots").is_dir():  # the folder of a model in the cache of the Hugging Face hub
        path = selection.pick({entry.name: entry for entry in sorted((path / "snapshots").iterdir())} or {"": path})
    if not diffusers.is_checkpoint(path):
        inside = sorted(entry.name for entry in path.iterdir() if diffusers.is_checkpoint(entry))
        hint = f"; name one of the folders in it: {', '.join(inside[:4])}" if inside else f"; known: {ACCEPTED}"
        raise CheckpointError(f"{path} is not a checkpoint directory of a known layout{hint}")
    decoder = diffusers.decoder_folder(path)  # first: it refuses pipelines whose network needs other inputs
    folder = diffusers.network_folder(path, selection)
    tensors = read_folder(folder, selection)
    layout = Layout(
        diffusers.ANCHOR, diffusers.matches, lambda path, found, facts: diffusers.load(path, folder, found, facts)
    )
    contents = find(tensors, {"diffusers": layout})
    if not contents.candidates:  # `load` reports missing and unknown weights
        contents = Contents([Candidate(TOP, "diffusers", tensors)], {}, [])
    source = _chosen(path, contents, {"diffusers": layout}, facts, selection)
    return source if decoder is None else dataclasses.replace(source, autoencoder=load_autoencoder(decoder, selection))


def _open_file(path: Path, facts: Facts, selection: Selection) -> Source:
    tensors = read_state(path)
    check_pixels(path, tensors)
    return _chosen(path, find(tensors, LAYOUTS), LAYOUTS, facts, selection)


def _chosen(
    path: Path, contents: Contents, layouts: Mapping[str, Layout], facts: Facts, selection: Selection
) -> Source:
    """The network that fits. Raises CheckpointError if none fits, or if several fit and the user named none."""
    candidates = contents.candidates
    named = selection.matching([candidate.label for candidate in candidates])
    if named:
        candidates = [candidate for candidate in candidates if candidate.label in named]
    if not candidates:
        names = [*contents.derived, *contents.unused]
        if diffusers.matches(dict.fromkeys(contents.unused)):  # type: ignore[arg-type]
            raise CheckpointError(f"{path} {diffusers.ALONE}")
        raise CheckpointError(f"{path}: weights like {quoted(names[0])} are not known; known: {ACCEPTED}")
    fitting: dict[str, tuple[Candidate, Source]] = {}
    failed: dict[str, CheckpointError] = {}
    for candidate in candidates[:MOST_FITTING]:
        try:
            layout = layouts[candidate.layout]
            known = _with_betas(path, facts, contents) if layout.keeps_betas else facts
            fitting[candidate.label] = candidate, layout.load(path, candidate.weights, known)
        except CheckpointError as error:
            failed[candidate.label] = error
    if not fitting:
        raise next(iter(failed.values()))
    different = {source.weights_sha256 for _, source in fitting.values()}
    if len(different) == 1:  # one network, possibly under several names
        fitting = dict(list(fitting.items())[:1])
    candidate, source = selection.pick(fitting)
    check_numbers(path, candidate.weights)
    said = [f"{label!r} does not fit: {error}" for label, error in failed.items()]
    kept = layouts[candidate.layout].keeps_betas and facts.betas is None
    return dataclasses.replace(source, notes=(*notes(contents, candidate, source.betas, kept=kept), *said))


def _with_betas(path: Path, facts: Facts, contents: Contents) -> Facts:
    """The facts, with the betas of the file unless the user gave others."""
    if facts.betas is not None:
        return facts
    try:
        return dataclasses.replace(facts, betas=betas_in(contents.derived))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _look(path: Path) -> tuple[bool, bool]:
    """Whether `path` is a folder, and whether it exists. Raises CheckpointError for an invalid path."""
    try:
        return path.is_dir(), path.exists()
    except OSError as error:  # for example a name that is too long, or a link to itself
        raise CheckpointError(f"{quoted(str(path))} cannot be read: {error.strerror}") from error


def _absent(path: Path) -> CheckpointError:
    name = str(path)
    if HUB_ID.fullmatch(name) and not path.parent.exists():
        folder = name.rpartition("/")[2]
        return CheckpointError(
            f"{name} is not a folder; if it is a model on the Hugging Face hub, download it first: "
            f"hf download {name} --local-dir {folder}"
        )
    return CheckpointError(f"{quoted(name)} does not exist; name {ACCEPTED}")
