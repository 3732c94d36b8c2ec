"""A TensorRT plan as an engine on a device: TensorRT 10 and 11, its lean runtime, and TensorRT-RTX."""

from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.plan_build import FLAVOURS as TITLES
from ..artifacts.plan_build import Profile
from ..artifacts.plan_record import PlanRecord
from ..denoiser import TIME_KINDS
from ..device.device_engine import Buffers
from ..device.gpus import cuda_version
from ..errors import DdpmRtError
from .plan_compatibility import load_runtime, rebuild_command
from .tensorrt_context import Context, Contexts
from .tensorrt_log import make_log, one_line
from .tensorrt_network import first_sides, network_fault

TIME_TYPES = {kind.tensorrt: kind.dtype for kind in TIME_KINDS}


class TensorRtDeviceEngine:
    """The DeviceEngine of a plan and its record, on the GPU that is current: a `cuda.core.Device`.

    Raises DdpmRtError when the plan is not for this GPU or TensorRT, or not the network that its card describes.
    """

    def __init__(self, plan: Path, record: PlanRecord, gpu: Any) -> None:
        self.path, self.record, self.card = plan, record, record.card
        self.profiles: tuple[Profile, ...] = record.build.profiles
        capability = "{}.{}".format(*gpu.compute_capability)
        trt = load_runtime(plan, record, capability)
        self._log = make_log(trt)
        self._runtime = trt.Runtime(self._log)
        again = rebuild_command(plan, record.build, capability)
        self._engine = self._deserialised(trt, again)
        if fault := network_fault(trt, self._engine, record):
            raise DdpmRtError(f"{plan} is not what its record says: {fault}; {again}")
        time = self.card.names["t"]
        self.time_type: np.dtype[Any] = TIME_TYPES[self._engine.get_tensor_dtype(time).name]
        shape, batch = (tuple(self._engine.get_tensor_shape(name)) for name in (time, self.card.names["x"]))
        # One number for all images, of rank 0 or 1; [1] is also the t of a plan for batch 1.
        self.one_time = shape == () or (shape == (1,) and batch[0] != 1)
        self._time_shape = list(shape)
        self._contexts = Contexts(trt, self._engine, self._log, gpu, plan, record.sha256)
        self._spare: dict[int, Context] = {}  # created to measure their scratch memory, not bound yet
        self._closed = False

    def _deserialised(self, trt: Any, again: str) -> Any:
        """The ICudaEngine. Raises DdpmRtError with TensorRT's reason."""
        content = self.path.read_bytes()
        engine = None
        if not self._is_invalid(trt, content):
            engine = self._runtime.deserialize_cuda_engine(content)
        if engine is None:
            build = self.record.build
            reason = one_line(self._log.errors[0]) if self._log.errors else "it does not say why"
            built = f"built by {TITLES[build.flavour]} {build.version} for {', '.join(build.compute_capabilities)}"
            here = f"{trt.__name__} {trt.__version__} with a driver of CUDA {cuda_version() or '?'}"
            raise DdpmRtError(f"{self.path}, {built}, cannot be loaded by {here}: {reason}; {again}")
        return engine

    def _is_invalid(self, trt: Any, content: bytes) -> bool:
        """Whether TensorRT-RTX rejects the plan without loading it. Other flavours must load it to tell."""
        if not hasattr(self._runtime, "get_engine_validity"):
            return False
        validity = self._runtime.get_engine_validity(content)[0]
        return bool(validity == trt.EngineValidity.INVALID)

    def model_sha256(self) -> str:
        return self.record.sha256

    @property
    def capturable(self) -> bool:
        """TensorRT-RTX tells at every `bind`; TensorRT's networks of this kind can be captured."""
        return self._contexts.capturable

    def batch_for(self, count: int) -> int:
        """The smallest batch of a profile that holds `count` images, else the largest batch."""
        holding = [max(low, count) for low, _, high in self.profiles if high >= count]
        return min(holding, default=max(high for _, _, high in self.profiles))

    def scratch_bytes(self, batch: int) -> int:
        if batch not in self._spare:
            self._spare[batch] = self._context(batch)
        return self._spare[batch].scratch_bytes

    def bind(self, batch: int, buffers: Buffers) -> Context:
        bound = self._spare.pop(batch, None) or self._context(batch)
        bound.bind(self._addresses(buffers), buffers.scratch)
        return bound

    def _context(self, batch: int) -> Context:
        if self._closed:
            raise ValueError(f"{self.path} has been closed")
        shapes = {name: [batch, *sides] for name, sides in first_sides(self.card).items()}
        if self.one_time:
            shapes[self.card.names["t"]] = self._time_shape
        return self._contexts.make(self._profile(batch), shapes)

    def _profile(self, batch: int) -> int:
        """The index of the narrowest profile with this batch: its kernels were chosen for the fewest sizes."""
        fitting = [(high - low, index) for index, (low, _, high) in enumerate(self.profiles) if low <= batch <= high]
        if not fitting:
            raise ValueError(f"{self.path} has no profile with batch {batch}")
        return min(fitting)[1]

    def _addresses(self, buffers: Buffers) -> dict[str, int]:
        return {name: getattr(buffers, key) for key, name in self.card.names.items()} | dict(buffers.inputs)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for bound in self._spare.values():
            bound.close()
        self._spare.clear()
        self._contexts.close()
        del self._engine, self._runtime  # in this order
