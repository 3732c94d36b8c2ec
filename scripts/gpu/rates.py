"""What this GPU does at best, measured, and how long a network would take at that: the roofline."""

from typing import Any, NamedTuple

import torch
from torch import nn

SIDE = 8192  # of the matrices that are multiplied
COPIED = 1 << 30  # bytes


class Rates(NamedTuple):
    """Of this GPU, as measured here."""

    flops: float  # a second, in float16 products that are summed in float32
    bytes: float  # a second, read and written


class Work(NamedTuple):
    """Of one call of a network."""

    flops: float
    bytes: float  # weights read once, every layer's output written and read once

    def seconds(self, rates: Rates) -> float:
        """The least it can take."""
        return max(self.flops / rates.flops, self.bytes / rates.bytes)


def measure_rates() -> Rates:
    """A large product and a large copy, the best of some."""
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.float16) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.empty(COPIED, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    multiplied = best(lambda: torch.mm(left, right, out=product))
    copied = best(lambda: target.copy_(source))
    return Rates(2.0 * SIDE**3 / multiplied, 2.0 * COPIED / copied)


def best(run: Any, times: int = 10) -> float:
    """The least seconds of several, by CUDA's events."""
    run()
    found = []
    for _ in range(times):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        found.append(begin.elapsed_time(end) / 1000)
    return min(found)


def work_of(module: nn.Module, shape: tuple[int, int, int], batch: int, itemsize: int = 2) -> Work:
    """Counted on torch's device "meta", where nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    moved = [sum(weight.numel() for weight in module.parameters()) * itemsize]

    def count(_: nn.Module, __: Any, output: Any) -> None:
        moved.append(2 * output.numel() * itemsize)

    meta = module.to("meta")
    hooks = [leaf.register_forward_hook(count) for leaf in meta.modules() if isinstance(leaf, LAYERS)]
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        meta(torch.empty(batch, *shape, device="meta"), torch.empty(batch, dtype=torch.int64, device="meta"))
    for hook in hooks:
        hook.remove()
    return Work(float(counter.get_total_flops()), float(sum(moved)))


LAYERS = (nn.Conv2d, nn.Linear, nn.GroupNorm)
