"""Execution contexts: a network at one batch, with scratch memory and buffers of the caller."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..device.cache import cache_folder, read_cache, write_cache
from ..errors import DdpmRtError
from .tensorrt_log import one_line


class Contexts:
    """Makes the contexts of one ICudaEngine.

    With TensorRT-RTX the contexts share one runtime configuration. It switches off RTX's own graphs, because the loop
    captures whole steps. It compiles the kernels for the exact shapes at once instead of in the background, where a
    capture would miss them. It reuses a file of compiled kernels, one for each plan.
    """

    def __init__(self, trt: Any, engine: Any, log: Any, gpu: Any, plan: Path, sha256: str) -> None:
        self.trt, self.engine, self.log, self.plan = trt, engine, log, plan
        self.capturable = True
        self.stream = gpu.create_stream()  # for set-up calls
        self._config, self._cache, self._known = None, None, b""
        if hasattr(trt, "CudaGraphStrategy"):
            self._configure(sha256)

    def _configure(self, sha256: str) -> None:
        trt, config = self.trt, self.engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        cache = config.create_runtime_cache()
        folder = cache_folder("tensorrt-rtx")
        self._file = None if folder is None else folder / f"{sha256}.cache"
        self._known = read_cache(self._file)
        if self._known and not cache.deserialize(self._known):  # a cache of another driver or GPU is replaced
            self._known = b""
        config.set_runtime_cache(cache)
        self._config, self._cache = config, cache

    def make(self, profile: int, shapes: Mapping[str, list[int]]) -> "Context":
        """A context for these input shapes. Raises DdpmRtError when TensorRT refuses."""
        strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self.engine.create_execution_context(strategy if self._config is None else self._config)
        self.check(context is not None, "makes no execution context")
        handle = int(self.stream.handle)
        self.check(context.set_optimization_profile_async(profile, handle), f"does not take profile {profile}")
        self.stream.sync()
        for name, shape in shapes.items():
            self.check(context.set_input_shape(name, shape), f"does not take {name} of {shape}")
        try:
            lacking = context.infer_shapes()
        except RuntimeError as error:
            raise DdpmRtError(
                f"{self.plan}: {self.trt.__name__} cannot infer shapes: {one_line(str(error))}"
            ) from error
        self.check(not lacking, f"does not know the shape of {', '.join(lacking)}")
        return Context(self, context, int(context.update_device_memory_size_for_shapes()))

    def check(self, holds: bool, fault: str) -> None:
        """Raises DdpmRtError with TensorRT's reason unless it `holds`."""
        if not holds:
            reason = f": {one_line(self.log.errors[-1])}" if self.log.errors else ""
            self.log.errors.clear()
            raise DdpmRtError(f"{self.plan}: {self.trt.__name__} {fault}{reason}")

    def ask_capturable(self, context: Any) -> None:
        """Update `capturable`; only TensorRT-RTX can tell."""
        if hasattr(context, "is_stream_capturable"):
            self.capturable = self.capturable and bool(context.is_stream_capturable(int(self.stream.handle)))

    def close(self) -> None:
        """Saves the compiled kernels. The contexts must be closed already."""
        if self._cache is not None:
            known = bytes(self._cache.serialize() or b"")
            if known and known != self._known:
                write_cache(self._file, known)
        self._config = self._cache = self.engine = None
        self.stream.close()


class Context:
    """A `Bound` after its `bind`. `scratch_bytes` is the scratch memory for its shapes."""

    def __init__(self, owner: Contexts, context: Any, scratch_bytes: int) -> None:
        self._owner, self._context, self.scratch_bytes = owner, context, scratch_bytes

    def bind(self, addresses: Mapping[str, int], scratch: int) -> None:
        """Raises DdpmRtError when TensorRT refuses an address."""
        owner, context = self._owner, self._context
        if self.scratch_bytes:
            if not scratch:
                raise ValueError(f"{owner.plan} needs {self.scratch_bytes} bytes of scratch memory")
            context.set_device_memory(scratch, self.scratch_bytes)
        for name, address in addresses.items():
            owner.check(context.set_tensor_address(name, address), f"does not take the address of {name}")
        owner.ask_capturable(context)

    def enqueue(self, stream: int) -> None:
        if self._context is None:
            raise ValueError(f"{self._owner.plan}: the network has been unbound")
        if not self._context.execute_async_v3(stream):
            self._owner.check(False, "did not take a call")

    def close(self) -> None:
        self._context = None
