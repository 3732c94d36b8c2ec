"""What an adapter gives: a module with the inputs of its card, and the card."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from ddpm_ref.checkpoint import weights_sha256
from ddpm_rt import ModelCard, Provenance

from ..graph.versions import package_versions

PACKAGES = ("ddpm-rt", "torch", "onnx")


class Adapted(NamedTuple):
    """The arguments of `export_onnx` before the path."""

    module: nn.Module
    card: ModelCard


def adapted(module: nn.Module, source: str, package: str, **facts: Any) -> Adapted:
    """`module` in eval mode, with the card that `facts` say; `package` is the project's on the package index.

    Raises ValueError for facts that no card can have.
    """
    module = module.eval()
    names = ("x", "t", "out") if facts.get("classes") is None else ("x", "t", "y", "out")
    defaults: dict[str, Any] = {"variance": "fixed_small", "spacing": "trailing", "classes": None, "null_class": None}
    provenance = Provenance(source, weights_sha256(module.state_dict()), package_versions((*PACKAGES, package)), {})
    known = {"names": {name: name for name in names}, "precision": "fp32", "provenance": provenance}
    return Adapted(module, ModelCard(**{**defaults, **known, **facts}))


def copy_of(module: nn.Module) -> Any:
    """A copy that can be changed, with gradients off."""
    return copy.deepcopy(module).requires_grad_(False)


def one_of(found: object, known: Mapping[str, Any], what: str) -> Any:
    """The entry of `known`. Raises ValueError, which names `what`."""
    if str(found) not in known:
        raise ValueError(f"{what} must be {' or '.join(known)}, not {found!r}")
    return known[str(found)]
