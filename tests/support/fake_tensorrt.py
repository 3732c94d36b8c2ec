"""Stand-ins for `tensorrt`, `tensorrt_lean` and `tensorrt_rtx` that fail a test on any call out of order.

They run one network, out = 2 x + t / 1000 (+ y), on the device of a `DeviceWorld`.
"""

import enum
from types import ModuleType, SimpleNamespace

import numpy as np

from ddpm_rt.artifacts.plan_record import NAME

NUMBERS = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT32": np.int32}
SCRATCH = 1000  # bytes for each image


def network_of(card, *, time="INT64", one_time=False, static=None):
    """Names, types and shapes of the network in a plan, which a test may change."""
    batch = -1 if static is None else static
    channels, *sides = card.image_shape
    of_out = channels * (2 if card.variance.startswith("learned") else 1)
    shapes = {"x": (batch, channels, *sides), "t": () if one_time else (batch,), "y": (batch,)}
    shapes["out"] = (batch, of_out, *sides)
    types = {"x": "FLOAT", "t": time, "y": "INT64", "out": "FLOAT"}
    return {name: SimpleNamespace(key=key, type=types[key], shape=shapes[key]) for key, name in card.names.items()}


class State:
    """The state of the stand-in, which a test may inspect or change."""

    def __init__(self, network, profiles):
        self.network, self.profiles = network, profiles
        self.loaded = False  # whether a plan has been read
        self.refuses = ""  # the reason why plans are refused
        self.takes = True  # the result of enqueue
        self.capturable, self.valid = True, True
        self.caches, self.contexts = [], []


def make_tensorrt(world, state, *, name="tensorrt", version="10.3.0"):
    """The module. TensorRT-RTX has members of its own, and its plans need its own kind of context."""
    rtx = name == "tensorrt_rtx"
    trt = ModuleType(name)
    trt.__version__ = version
    trt.Logger = enum.Enum("Logger", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO"])
    trt.TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    trt.TensorLocation = enum.Enum("TensorLocation", ["DEVICE", "HOST"])
    trt.DataType = enum.Enum("DataType", list(NUMBERS))
    trt.ExecutionContextAllocationStrategy = enum.Enum("Allocation", ["STATIC", "USER_MANAGED"])
    user_managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED

    class ILogger:
        def __init__(self):
            pass

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, log):
            self.log = log

        def deserialize_cuda_engine(self, content):
            state.loaded = True
            if state.refuses:
                self.log.log(trt.Logger.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {state.refuses}")
                return None
            return Engine(NAME.search(content).group().decode(), self.log)

    class Engine:
        def __init__(self, name, log):
            self.name, self.log = name, log
            self.num_io_tensors, self.num_optimization_profiles = len(state.network), len(state.profiles)

        def get_tensor_name(self, index):
            return list(state.network)[index]

        def get_tensor_mode(self, name):
            return trt.TensorIOMode.OUTPUT if state.network[name].key == "out" else trt.TensorIOMode.INPUT

        def get_tensor_location(self, name):
            return trt.TensorLocation.DEVICE

        def get_tensor_dtype(self, name):
            return trt.DataType[state.network[name].type]

        def get_tensor_shape(self, name):
            return state.network[name].shape

        def create_execution_context(self, how):
            if rtx:
                assert how.cuda_graph_strategy == trt.CudaGraphStrategy.DISABLED
                assert how.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"
                assert how.cache is not None
                how = how.strategy
            assert how == user_managed
            context = Context(self.log)
            state.contexts.append(context)
            return context

    class Context:
        def __init__(self, log):
            self.log, self.profile, self.profile_set = log, None, False
            self.shapes, self.addresses, self.memory, self.needs = {}, {}, None, None

        def set_optimization_profile_async(self, profile, stream):
            assert profile < len(state.profiles)
            self.profile = profile
            world.enqueue(stream, self._profile_is_set)
            self.profile_set = False
            return True

        def _profile_is_set(self):
            self.profile_set = True

        def set_input_shape(self, name, shape):
            assert self.profile_set, "a profile first, and wait for it"
            known = state.network[name].shape
            low, _, high = state.profiles[self.profile]
            assert len(shape) == len(known)
            fits = all(a == b or (b == -1 and low <= a <= high) for a, b in zip(shape, known, strict=True))
            self.shapes[name] = tuple(shape)
            return fits

        def infer_shapes(self):
            return [name for name, of in state.network.items() if of.key != "out" and name not in self.shapes]

        def update_device_memory_size_for_shapes(self):
            assert not self.infer_shapes(), "all shapes first"
            self.batch = next(self.shapes[name][0] for name, of in state.network.items() if of.key == "x")
            self.needs = SCRATCH * self.batch
            return self.needs

        def set_device_memory(self, address, size):
            assert self.needs is not None, "ask how much it needs"
            assert size >= self.needs, "too little memory"
            assert address % 256 == 0, "memory that is not aligned"
            world.view(address, np.uint8, (size,))
            self.memory = (address, size)

        def set_tensor_address(self, name, address):
            assert name in state.network
            self.addresses[name] = address
            return address != 0

        def execute_async_v3(self, stream):
            assert self.addresses.keys() == state.network.keys(), "enqueue before all addresses are set"
            assert self.memory is not None, "enqueue without memory"
            if not state.takes:
                self.log.log(trt.Logger.ERROR, "IExecutionContext::enqueueV3: Error Code 1: no stream")
                return False
            world.enqueue(stream, self._run)
            return True

        def _run(self):
            at = {}
            for name, of in state.network.items():
                shape = self.shapes.get(name, (self.batch, *of.shape[1:]))
                at[of.key] = world.view(self.addresses[name], NUMBERS[of.type], shape)
            world.view(self.memory[0], np.uint8, (self.memory[1],)).fill(255)
            at["out"][...] = expected(at["x"], at["t"], at.get("y"), at["out"].shape[1] // at["x"].shape[1])

    if rtx:
        trt.CudaGraphStrategy = enum.Enum("CudaGraphStrategy", ["DISABLED", "WHOLE_GRAPH_CAPTURE"])
        trt.DynamicShapesKernelSpecializationStrategy = enum.Enum("Specialization", ["LAZY", "EAGER", "NONE"])
        trt.EngineValidity = enum.Enum("EngineValidity", ["VALID", "SUBOPTIMAL", "INVALID"])

        class Cache:
            content = b"fresh"

            def deserialize(self, blob):
                self.content = bytes(blob)
                return blob.startswith(b"kernels")

            def serialize(self):
                return b"kernels of " + state.contexts[0].__class__.__name__.encode() if state.contexts else b""

        class Config:
            cuda_graph_strategy = dynamic_shapes_kernel_specialization_strategy = strategy = cache = None

            def set_execution_context_allocation_strategy(self, strategy):
                self.strategy = strategy

            def create_runtime_cache(self):
                state.caches.append(Cache())
                return state.caches[-1]

            def set_runtime_cache(self, cache):
                self.cache = cache
                return True

        def validity(self, content):
            if not state.valid:
                self.log.log(trt.Logger.ERROR, "Error reading CUDA GPU properties")
            return (trt.EngineValidity.VALID if state.valid else trt.EngineValidity.INVALID, 0)

        Runtime.get_engine_validity = validity
        Engine.create_runtime_config = lambda self: Config()
        Context.is_stream_capturable = lambda self, stream: stream != 0 and state.capturable
    trt.ILogger, trt.Runtime = ILogger, Runtime
    return trt


def expected(x, t, y=None, times=1):
    """The output of the network."""
    per_image = np.broadcast_to(np.float32(t) / 1000 + (0 if y is None else np.float32(y)), (len(x),))
    return np.concatenate([2 * x + per_image[:, None, None, None].astype(np.float32)] * times, axis=1)
