"""The roofline: the measured peak rates of this GPU, and the time of a network at these rates."""

from typing import Any, NamedTuple

import torch
from torch import nn

SIDE = 8192  # rows and columns of the multiplied matrices
COPIED = 1 << 30  # bytes per copy


class Rates(NamedTuple):
    """The measured peak rates of this GPU."""

    flops: float  # per second, in float16 products accumulated in float32
    bytes: float  # per second, read and written


class Work(NamedTuple):
    """The work of one network call."""

    flops: float
    bytes: float  # all weights read once, and every layer's output written and read once

    def seconds(self, rates: Rates) -> float:
        """The shortest possible time, in seconds."""
        return max(self.flops / rates.flops, self.bytes / rates.bytes)


def measure_rates() -> Rates:
    """The rates of a large matrix product and a large copy, each the best of several runs."""
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.float16) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.empty(COPIED, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    multiplied = best(lambda: torch.mm(left, right, out=product))
    copied = best(lambda: target.copy_(source))
    return Rates(2.0 * SIDE**3 / multiplied, 2.0 * COPIED / copied)


def best(run: Any, times: int = 10) -> float:
    """The shortest time of several runs in seconds, by CUDA events."""
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
    """The work of one call of `module` with images of `shape`, counted on torch's device "meta" without computing."""
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
