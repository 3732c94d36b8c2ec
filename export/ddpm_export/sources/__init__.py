"""Checkpoints of all the forms that are read, and the question which of them a path is.

Each module beside this one knows one layout: `matches` recognises it, `load` builds the network and its facts.
"""

from pathlib import Path

from ddpm_ref.errors import CheckpointError

from . import diffusers, guided, pesser
from .facts import Facts, read_facts
from .source import Source
from .state_file import read_state

ACCEPTED = (
    "a directory that diffusers saved (unet/config.json or config.json), a state dict of improved-diffusion or "
    "guided-diffusion (input_blocks.*), or one of pytorch_diffusion's layout (temb.dense.*, down.*.block.*)"
)

__all__ = ["ACCEPTED", "Facts", "Source", "open_source"]


def open_source(path: Path | str, config: Path | None = None) -> Source:
    """Read the checkpoint at `path`, whatever its layout; `config` is a TOML file with what weights cannot say.

    Without `config`, a TOML file of the same name beside a weights file is taken (`model.toml` for `model.pt`).
    Raises CheckpointError, in one line that names the file and the key, for everything that is not understood.
    """
    path = Path(path)
    if path.is_dir():
        if not diffusers.matches(path):
            raise CheckpointError(f"{path} is not a checkpoint directory that is known here; known: {ACCEPTED}")
        return diffusers.load(path, read_facts(config))
    if not path.is_file():
        raise CheckpointError(f"{path} is not there; known: {ACCEPTED}")
    beside = path.with_suffix(".toml")
    facts = read_facts(config or (beside if beside.is_file() else None))
    weights = read_state(path)
    if guided.matches(weights):
        return guided.load(path, weights, facts)
    if pesser.matches(weights):
        return pesser.load(path, weights, facts)
    if "conv_in.weight" in weights and any(name.startswith("down_blocks.") for name in weights):
        raise CheckpointError(f"{path} holds diffusers' weights alone; name the directory with its config.json")
    raise CheckpointError(f"{path}: weights like {next(iter(weights))!r} are not known; known: {ACCEPTED}")
