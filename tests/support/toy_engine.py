"""An engine on the stand-in device that runs any function of NumPy arrays as its kernel."""

import ctypes

import numpy as np
from cuda_stand_in import KERNEL
from gaussian_model import BETAS, CLASS_MEANS, PIXEL_VARIANCE, gaussian_card

from ddpm_rt import DdpmRtError
from ddpm_rt.device.device_engine import Buffers
from ddpm_rt.device.lanes import LANE, ROW

KERNELS = ("ddpm_rt_begin", "ddpm_rt_resume", "ddpm_rt_step", "ddpm_rt_step_while")


def register_kernels(stand_in, host):
    """The package's kernels, compiled for the host, as the kernels of the stand-in device."""
    for name in KERNELS:
        is_while = name == "ddpm_rt_step_while"
        parameters = "PPPPPPPIIIIII" + ("Q" if is_while else "")
        stand_in.register_kernel(name, parameters, KERNEL(launched(stand_in, host, name)), bytes_touched)


def launched(stand_in, host, name):
    def run(params, grid_x, grid_y, grid_z, block, *_):
        host.launch(name, ctypes.addressof(params.contents), (grid_x, grid_y), block=block)
        if name == "ddpm_rt_step_while":
            handle = ctypes.c_uint64.from_address(params[13]).value
            stand_in.set_condition(handle, host.condition(handle))

    return run


def bytes_touched(x, x0, out, t, rows, lanes, state, batch, size, out_size, t_type, t_count, guided, *handle):
    """The bytes behind each parameter of a kernel; tables have at least one row."""
    images = 2 * batch if guided else batch
    touched = (images * size * 4, images * size * 4 if x0 else 0, images * out_size * 4, t_count * (4 if t_type else 8))
    return (*touched, ROW.itemsize, batch * LANE.itemsize, 16, *[0] * (6 + len(handle)))


class ToyEngine:
    """Runs `function(x, t, y)`, with named inputs `function(x, t, y, inputs)`, on device memory, and counts calls."""

    def __init__(self, stand_in, function, *, card=None, batches=(1, 2, 4, 8), time_type=np.int64, one_time=False):
        self.stand_in, self.function, self.card, self.batches = stand_in, function, card or gaussian_card(), batches
        self.time_type, self.one_time, self.capturable = np.dtype(time_type), one_time, True
        self.open, self.enqueued, self.refuse_at = 0, 0, None

    def batch_for(self, count):
        return next((batch for batch in self.batches if batch >= count), self.batches[-1])

    def scratch_bytes(self, batch):
        return 1000 * batch

    def bind(self, batch, buffers: Buffers):
        assert batch in self.batches
        assert buffers.x
        assert buffers.t
        assert buffers.out
        assert buffers.scratch % 256 == 0
        self.open += 1
        return ToyBound(self, batch, buffers)

    def close(self):
        assert self.open == 0


class ToyBound:
    def __init__(self, engine, batch, buffers):
        self.engine, self.batch, self.buffers = engine, batch, buffers

    def enqueue(self, stream):
        engine = self.engine
        engine.enqueued += 1
        if engine.enqueued == engine.refuse_at:
            raise DdpmRtError("the toy engine refuses")
        status = engine.stand_in.enqueue(stream, self._run)
        if status:
            raise DdpmRtError(f"the toy engine was not taken: {status}")

    def _run(self):
        engine, array = self.engine, self.engine.stand_in.array
        shape = (self.batch, *engine.card.image_shape)
        x = array(self.buffers.x, shape)
        t = array(self.buffers.t, 1 if engine.one_time else self.batch, engine.time_type)
        t = np.repeat(t, self.batch) if engine.one_time else t
        y = array(self.buffers.y, self.batch, np.int64) if self.buffers.y else None
        fractional = engine.card.process is not None or engine.card.spacing == "karras"
        t = t.astype(np.float64 if fractional else np.int64)
        inputs = {
            name: array(
                address, (self.batch, *engine.card.inputs[name].shape), np.dtype(engine.card.inputs[name].dtype)
            )
            for name, address in self.buffers.inputs.items()
        }
        out = engine.function(x, t, y, *([inputs] if inputs else []))
        array(self.buffers.out, out.shape)[:] = out

    def close(self):
        self.engine.open -= 1


ALPHA_BAR = np.cumprod(1 - BETAS)
COEFFICIENT = (np.sqrt(1 - ALPHA_BAR) / (ALPHA_BAR * PIXEL_VARIANCE + 1 - ALPHA_BAR)).astype(np.float32)


def eps_of_gaussian(x, t, y=None):
    """The exact denoiser of pixels from N(0, PIXEL_VARIANCE), one image at a time."""
    return COEFFICIENT[t][:, None, None, None] * x


def eps_of_label(x, t, y):
    """The exact denoiser of pixels around the mean of their class."""
    mean = np.array(CLASS_MEANS, np.float32)[y][:, None, None, None]
    signal = np.sqrt(ALPHA_BAR).astype(np.float32)[t][:, None, None, None]
    return COEFFICIENT[t][:, None, None, None] * (x - signal * mean)


def with_spread(x, t, y=None):
    """The denoiser with as many extra channels for the variance, which lie in [-1, 1]."""
    out = eps_of_gaussian(x, t) if y is None else eps_of_label(x, t, y)
    return np.concatenate([out, np.sin(x)], axis=1)
