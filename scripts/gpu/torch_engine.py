"""A torch module as a `DeviceEngine`, so that the device loop runs a real network."""

import copy
import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_rt import ModelCard
from ddpm_rt.denoiser import Batch, Times
from ddpm_rt.device.device_engine import Buffers
from ddpm_rt.errors import DdpmRtError

OnStream = Callable[[int, Callable[[], None]], object]  # runs a function with its work on a stream


class TorchEngine:
    """`module(x, t)`, or `module(x, t, y)`, in `dtype` and channels_last.

    With `compiled`, torch.compile compiles it without CUDA graphs. `place` is torch's device. `on_stream` is for a
    device that torch does not support.
    """

    time_type: np.dtype[Any] = np.dtype(np.int64)
    one_time = False
    capturable = True

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        *,
        place: str = "cuda",
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
        on_stream: OnStream | None = None,
    ) -> None:
        self.card, self.place, self.dtype, self.compiled, self.on_stream = card, place, dtype, compiled, on_stream
        own = copy.deepcopy(module).to(place, dtype).to(memory_format=torch.channels_last).eval()
        self.module: Callable[..., Tensor] = own
        if compiled:
            self.module = torch.compile(own, mode="max-autotune-no-cudagraphs", dynamic=False)

    def batch_for(self, count: int) -> int:
        return count

    def scratch_bytes(self, batch: int) -> int:
        return 0  # torch allocates its own memory

    def bind(self, batch: int, buffers: Buffers) -> "TorchBound":
        return TorchBound(self, batch, buffers)

    def close(self) -> None:
        pass


class TorchBound:
    """The module bound to our buffers, with a torch memory pool that only our graphs use."""

    def __init__(self, engine: TorchEngine, batch: int, buffers: Buffers) -> None:
        channels, *sides = engine.card.image_shape
        self._engine = engine
        self._x = memory_at(buffers.x, (batch, channels, *sides), torch.float32, engine.place)
        self._out = memory_at(buffers.out, (batch, engine.card.output_channels, *sides), torch.float32, engine.place)
        self._more = [memory_at(at, (batch,), torch.int64, engine.place) for at in (buffers.t, buffers.y) if at]
        self._on_stream = engine.on_stream or OnCudaStream()
        if engine.compiled:  # compile now: the autotuning tries many kernels, whose memory our pool would keep
            self._run()
            torch.cuda.synchronize()

    def enqueue(self, stream: int) -> None:
        try:
            self._on_stream(stream, self._run)
        except RuntimeError as error:  # includes CUDA's errors
            raise DdpmRtError(f"torch did not take a call: {str(error).splitlines()[0]}") from error

    def _run(self) -> None:
        with torch.inference_mode():
            x = self._x.to(self._engine.dtype, memory_format=torch.channels_last)
            self._out.copy_(self._engine.module(x, *self._more))

    def close(self) -> None:
        self._on_stream = None  # type: ignore[assignment]  # frees the pool too


class OnCudaStream:
    """Runs a function on a given CUDA stream, with its own torch memory pool."""

    def __init__(self) -> None:
        self._pool = torch.cuda.MemPool()

    def __call__(self, stream: int, run: Callable[[], None]) -> None:
        with ExitStack() as around:
            around.enter_context(torch.cuda.stream(torch.cuda.ExternalStream(stream)))
            around.enter_context(torch.cuda.use_mem_pool(self._pool))
            run()


def memory_at(address: int, shape: tuple[int, ...], dtype: torch.dtype, place: str) -> Tensor:
    """A tensor over memory that it does not own."""
    if place == "cpu":
        size = int(np.prod(shape)) * dtype.itemsize
        return torch.frombuffer((ctypes.c_char * size).from_address(address), dtype=dtype).view(shape)
    kind = {torch.float32: "<f4", torch.int64: "<i8"}[dtype]
    return torch.as_tensor(_Memory(address, shape, kind), device=place)


class _Memory:
    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": kind, "data": (address, False), "version": 3, "strides": None, "stream": None,
        }  # fmt: skip


class TorchNetwork:
    """The module of a `TorchEngine` as an `Engine` for the host loop. Every call copies to the device and back."""

    def __init__(self, engine: TorchEngine) -> None:
        self.card, self._engine = engine.card, engine

    def __call__(self, x: Batch, t: Times, y: Times | None = None, /) -> Batch:
        place, dtype = self._engine.place, self._engine.dtype
        more = [torch.tensor(value, device=place) for value in (t, y) if value is not None]
        with torch.inference_mode():
            images = torch.tensor(x, device=place).to(dtype, memory_format=torch.channels_last)
            out: Batch = self._engine.module(images, *more).float().contiguous().cpu().numpy()
        return out


def exact_float32() -> None:
    """Stop torch from rounding the factors of float32 products to TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
