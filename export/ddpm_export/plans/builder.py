"""Build a plan in memory from ONNX, with the same code for TensorRT 10, TensorRT 11 and TensorRT-RTX."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.bounded_read import read_bytes
from ddpm_rt.artifacts.plan_build import Flavour, Profile
from ddpm_rt.engines.tensorrt_log import one_line

from .build_options import BuildOptions, batch_text
from .tensorrt_api import TYPES, compute_capability, make_monitor, member

DEFAULT_BATCH = ((1, 1, 1), (16, 16, 16))
DEFAULT_RANGE = ((1, 16, 16),)  # for refittable and stripped plans: TensorRT can refit only plans with one profile
# TensorRT-RTX lacks the matrix product in float32 for compute capability 7.5.
FP16_ONLY = "; export it with --precision fp16 and with the time embedding, which stays float32, hoisted (--hoist-time)"
CACHE_BYTES = 1 << 30  # most bytes of a timing cache
TICK = 0.2  # seconds between checks for Ctrl-C


@dataclass(frozen=True)
class BuiltPlan:
    """A plan in memory, its profiles, and the types of its network's tensors and layers."""

    content: memoryview
    profiles: tuple[Profile, ...]
    tensors: dict[str, str]
    layers: dict[str, dict[str, int]]


def build_network(
    trt: Any, flavour: Flavour, onnx: Path, name: str, options: BuildOptions, timing_cache: Path | None, *, log: Any
) -> "Network":
    """Parse the ONNX file and configure the build, which `Network.build` runs.

    Raises DdpmRtError, which names the node at fault, when TensorRT cannot parse the file or take the options.
    """
    builder = trt.Builder(log)
    if builder is None:
        raise DdpmRtError(f"{trt.__name__} does not start: {first_error(log)}")
    typed = 1 << int(member(trt, "NetworkDefinitionCreationFlag", "STRONGLY_TYPED"))
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        raise DdpmRtError(f"{onnx}: {parser_error(trt, parser)}")
    network.name = name
    config = builder.create_builder_config()
    profiles = add_profiles(builder, network, config, options)
    configure(trt, flavour, config, options)
    if timing_cache is not None:
        advice = "name another --timing-cache"
        known = read_bytes(timing_cache, advice, CACHE_BYTES) if timing_cache.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
    return Network(trt, builder, network, config, profiles, log, parser)


@dataclass(frozen=True)
class Network:
    """A parsed and configured network. It keeps all objects alive that TensorRT needs during the build."""

    trt: Any
    builder: Any
    network: Any
    config: Any
    profiles: tuple[Profile, ...]
    log: Any
    parser: Any  # owns the weights

    def build(self, report: Any) -> BuiltPlan:
        """Build the plan. `report` receives the progress, 0 to 1.

        The build runs in another thread, so that this thread handles Ctrl-C, which then cancels the build. Raises
        DdpmRtError with TensorRT's reason.
        """
        monitor = make_monitor(self.trt, report)
        self.config.progress_monitor = monitor
        with ThreadPoolExecutor(1) as pool:
            try:
                work = pool.submit(self.builder.build_serialized_network, self.network, self.config)
                while wait_for([work], timeout=TICK).not_done:
                    pass
            except BaseException:
                monitor.cancelled = True
                raise
            plan = work.result()
        if plan is None:
            reason = first_error(self.log).rstrip(".")
            remedy = FP16_ONLY if "FP32 GEMM" in reason else ""
            raise DdpmRtError(f"{self.trt.__name__} {self.trt.__version__} cannot build the plan: {reason}{remedy}")
        return BuiltPlan(memoryview(plan), self.profiles, self.tensors(), self.layers())

    def tensors(self) -> dict[str, str]:
        """The type of every input and output, by name."""
        inputs = [self.network.get_input(i) for i in range(self.network.num_inputs)]
        outputs = [self.network.get_output(i) for i in range(self.network.num_outputs)]
        return {tensor.name: type_name(tensor.dtype) for tensor in (*inputs, *outputs)}

    def layers(self) -> dict[str, dict[str, int]]:
        """The number of layers of each kind and output type, which a strongly typed network keeps in the build."""
        counts: dict[str, Counter[str]] = {}
        for index in range(self.network.num_layers):
            layer = self.network.get_layer(index)
            if layer.num_outputs:
                kind = counts.setdefault(layer.type.name.lower(), Counter())
                kind[type_name(layer.get_output(0).dtype)] += 1
        return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}

    def timing_cache(self) -> bytes:
        """The timing cache after the build, serialized."""
        return bytes(self.config.get_timing_cache().serialize())


def add_profiles(builder: Any, network: Any, config: Any, options: BuildOptions) -> tuple[Profile, ...]:
    """Add the optimisation profiles and return them. A graph with a fixed batch size needs none.

    Raises DdpmRtError for a batch that the network cannot take.
    """
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    if all(-1 not in tuple(tensor.shape) for tensor in inputs):
        size = int(inputs[0].shape[0])
        if options.batch not in (None, ((size, size, size),)):
            raise DdpmRtError(f"the graph has the fixed batch size {size}; export it without --static-batch")
        return ((size, size, size),)
    profiles = options.batch or (DEFAULT_RANGE if options.replaceable else DEFAULT_BATCH)
    for profile in profiles:
        entry = builder.create_optimization_profile()
        for tensor in inputs:
            entry.set_shape(tensor.name, *[[size if d == -1 else d for d in tensor.shape] for size in profile])
        if config.add_optimization_profile(entry) < 0:
            raise DdpmRtError(f"TensorRT cannot take batch {batch_text(profile)} for this network")
    return profiles


def configure(trt: Any, flavour: Flavour, config: Any, options: BuildOptions) -> None:
    """Set the flags and levels of the build. Raises DdpmRtError for an option that this release of TensorRT lacks."""
    config.profiling_verbosity = member(trt, "ProfilingVerbosity", "DETAILED")
    flags = {"REFIT": options.refittable, "STRIP_PLAN": options.strip_weights}
    flags |= dict.fromkeys(("VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME"), options.version_compatible)
    if flavour == "rtx":
        flags["REQUIRE_USER_ALLOCATION"] = True  # otherwise no CUDA graph can capture the plan
        config.num_compute_capabilities = len(options.compute_capability)
        for index, capability in enumerate(options.compute_capability):
            config.set_compute_capability(compute_capability(trt, capability), index)
    for name, wanted in flags.items():
        if wanted:
            config.set_flag(member(trt, "BuilderFlag", name))
    tf32 = member(trt, "BuilderFlag", "TF32")  # TensorRT's default is on
    (config.set_flag if options.tf32 else config.clear_flag)(tf32)
    if options.hardware_compatible:
        level = {"ampere+": "AMPERE_PLUS", "same": "SAME_COMPUTE_CAPABILITY"}[options.hardware_compatible]
        config.hardware_compatibility_level = member(trt, "HardwareCompatibilityLevel", level)
    if options.level is not None:
        config.builder_optimization_level = options.level
    if options.workspace is not None:
        config.set_memory_pool_limit(member(trt, "MemoryPoolType", "WORKSPACE"), options.workspace << 20)


def type_name(dtype: Any) -> str:
    """Our name of a TensorRT type, such as fp16 for HALF."""
    name = str(dtype.name)
    return TYPES.get(name, name.lower())


def parser_error(trt: Any, parser: Any) -> str:
    """The parser's first error: node, operator, reason."""
    if not parser.num_errors:
        return f"{trt.__name__} cannot parse the model and gives no reason; see --verbose"
    error = parser.get_error(0)  # later errors are its consequences
    reason = one_line(error.desc())
    if reason in ("", "false") or "Plugin not found" in reason:
        reason = f"{trt.__name__} {trt.__version__} does not support this operator, or this form of it"
    return f"{error.node_name()} ({error.node_operator()}): {reason}" if error.node_operator() else reason


def first_error(log: Any) -> str:
    """The first error in TensorRT's log."""
    return one_line(log.errors[0]) if log.errors else "TensorRT gives no reason; see --verbose"
