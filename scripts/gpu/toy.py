"""A toy network of three operations as a kernel and in NumPy, bit-equal, so that whole chains are bit-equal."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_rt import ModelCard, Provenance
from ddpm_rt.denoiser import Batch, Times
from ddpm_rt.device.device_engine import Buffers
from ddpm_rt.device.driver import cuda_core
from ddpm_rt.device.lanes import TIME_TYPES
from ddpm_rt.device.layout import sizes_of
from ddpm_rt.samplers.schedule import Prediction, Variance

NAME, THREADS = "ddpm_rt_toy", 256
PARAMETERS = "PPPPIIIIIf"  # P a pointer, I 32 bits, f float
SOURCE = r"""
// out = x / 2 + t / 1024 + y / 8, and the same from -x / 4 where there is a spread; not a number at t == poison.
extern "C" __global__ void ddpm_rt_toy(const float* x, const void* t, const long long* y, float* out, unsigned images,
                                       unsigned size, unsigned out_size, unsigned t_type, unsigned one_time,
                                       float poison) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, image = blockIdx.y, at = one_time ? 0 : image;
  if (i >= out_size || image >= images) return;
  const float time = t_type == 0 ? (float)((const long long*)t)[at]
                     : t_type == 1 ? (float)((const int*)t)[at] : ((const float*)t)[at];
  float value = __fmul_rn(x[(size_t)image * size + i % size], i < size ? 0.5f : -0.25f);
  value = __fadd_rn(value, __fmul_rn(time, 0.0009765625f));
  if (y) value = __fadd_rn(value, __fmul_rn((float)y[image], 0.125f));
  out[(size_t)image * out_size + i] = time == poison ? __int_as_float(0x7FC00000) : value;
}
"""


def toy_card(
    shape: tuple[int, int, int] = (1, 4, 4),
    *,
    prediction: Prediction = "eps",
    variance: Variance = "fixed_small",
    clip: tuple[float, float] | None = (-1.0, 1.0),
    classes: int | None = None,
    null_class: int | None = None,
) -> ModelCard:
    """The card of a toy model with the betas of Ho et al."""
    betas = tuple(np.linspace(1e-4, 0.02, 1000).tolist())
    names = {"x": "x", "t": "t", "out": "out"} | ({} if classes is None else {"y": "y"})
    origin = Provenance("toy", "0" * 64, {}, {})
    return ModelCard(shape, betas, prediction, variance, clip, "trailing", classes, null_class, names, "fp32", origin)


def toy_network(
    x: Batch, t: Times, y: NDArray[np.int64] | None = None, *, learned: bool = False, poison: float = -1.0
) -> Batch:
    """The kernel in NumPy, operation by operation."""
    time = np.asarray(t).astype(np.float32).reshape(-1, 1, 1, 1)
    parts = [x * np.float32(0.5), x * np.float32(-0.25)]
    out = np.concatenate(parts if learned else parts[:1], axis=1) + time * np.float32(2.0**-10)
    if y is not None:
        out = out + y.astype(np.float32).reshape(-1, 1, 1, 1) * np.float32(0.125)
    return np.where(time == np.float32(poison), np.float32(np.nan), out)


@functools.cache
def toy_cubin(arch: str) -> bytes:
    """The kernel for compute capability `arch`, compiled once per process."""
    core = cuda_core()
    code: bytes = core.Program(SOURCE, "c++", core.ProgramOptions(arch=f"sm_{arch}")).compile("cubin").code
    return code


class ToyNetwork:
    """The toy network as an `Engine` on the host."""

    def __init__(self, card: ModelCard, *, poison: float = -1.0) -> None:
        self.card, self.poison = card, poison

    def __call__(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, /) -> Batch:
        learned = self.card.variance.startswith("learned")
        return toy_network(x, t, y, learned=learned, poison=self.poison)


class ToyEngine:
    """The toy network as a `DeviceEngine` on the current device."""

    def __init__(
        self,
        device: Any,
        card: ModelCard,
        *,
        time_type: Any = np.int64,
        one_time: bool = False,
        capturable: bool = True,
        static_batch: int | None = None,
        poison: float = -1.0,
    ) -> None:
        self.card, self.one_time, self.capturable = card, one_time, capturable
        self.time_type: np.dtype[Any] = np.dtype(time_type)
        self.static_batch, self.poison = static_batch, poison
        self.kernel = cuda_core().ObjectCode.from_cubin(toy_cubin(device.arch)).get_kernel(NAME)

    def batch_for(self, count: int) -> int:
        return self.static_batch or count

    def scratch_bytes(self, batch: int) -> int:
        return 0

    def bind(self, batch: int, buffers: Buffers) -> "ToyBound":
        return ToyBound(self, batch, buffers)

    def close(self) -> None:
        pass


class ToyBound:
    """The kernel bound to the buffers of one batch."""

    def __init__(self, engine: ToyEngine, batch: int, buffers: Buffers) -> None:
        self._core, self._kernel = cuda_core(), engine.kernel
        size, out_size = sizes_of(engine)
        self._config = self._core.LaunchConfig(grid=(-(-out_size // THREADS), batch), block=THREADS)
        numbers = (batch, size, out_size, TIME_TYPES.index(engine.time_type), int(engine.one_time))
        addresses = (buffers.x, buffers.t, buffers.y, buffers.out)
        self._arguments = (*addresses, *map(np.uint32, numbers), np.float32(engine.poison))

    def enqueue(self, stream: int) -> None:
        self._core.launch(self._core.Stream.from_handle(stream), self._config, self._kernel, *self._arguments)

    def close(self) -> None:
        pass
