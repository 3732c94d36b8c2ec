"""A forward process as a person gives it: betas, noise levels or a flow. There is no default."""

from typing import Any

from ddpm_ref.text import quoted
from ddpm_rt.samplers.continuous import FlowProcess, Levelled, SigmaProcess

from .betas_argument import parse_betas

FORMS = "sigma:MIN:MAX (sigma:0.002:80), flow, or --betas for timesteps"


def parse_process(
    text: str, *, time: str | None = None, time_scale: float = 1.0, sigma_data: float | None = None, shift: float = 1.0
) -> Levelled:
    """The process that `text` names, with what the network is told. Raises ValueError."""
    kind, *numbers = text.split(":", 3)
    try:
        limits = [float(number) for number in numbers]
    except ValueError:
        raise ValueError(f"process {quoted(text)} is none of {FORMS}") from None
    if kind == "sigma" and len(limits) == 2:
        if shift != 1.0:
            raise ValueError("a shift is for a flow")
        told: Any = time or "sigma"
        return SigmaProcess(limits[0], limits[1], time=told, time_scale=time_scale, sigma_data=sigma_data)
    if kind == "flow" and not limits:
        if sigma_data is not None:
            raise ValueError("sigma_data is for a process of sigma")
        told = time or "t"
        return FlowProcess(time=told, time_scale=time_scale, shift=shift)
    raise ValueError(f"process {quoted(text)} is none of {FORMS}")


def process_facts(betas: str | None, process: str | None, **told: Any) -> dict[str, Any]:
    """The fields `betas` and `process` of a card. Raises ValueError unless exactly one of the two is given."""
    if (betas is None) == (process is None):
        raise ValueError("give one of --betas and --process")
    if process is not None:
        return {"betas": (), "process": parse_process(process, **told)}
    if told != {"time": None, "time_scale": 1.0, "sigma_data": None, "shift": 1.0}:
        raise ValueError("--time, --time-scale, --sigma-data and --shift are options of --process")
    return {"betas": tuple(parse_betas(betas or "").tolist()), "process": None}
