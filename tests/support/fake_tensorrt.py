"""Stand-ins for `tensorrt`, `tensorrt_lean` and `tensorrt_rtx` that fail a test on any call out of order.

They run one network, out = 2 x + t / 1000 (+ y), on the device of a `DeviceWorld`.
"""

import enum
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
from device_world import DeviceWorld

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


class StandIn(NamedTuple):
    """The module of a stand-in, and what its objects work on."""

    trt: ModuleType
    world: DeviceWorld
    state: State

    def error(self, log, text):
        log.log(self.trt.Logger.ERROR, text)


def make_tensorrt(world, state, *, name="tensorrt", version="10.3.0"):
    """The module. TensorRT-RTX has additional members, and its plans need another kind of context."""
    trt = ModuleType(name)
    stand_in = StandIn(trt, world, state)
    trt.__version__ = version
    trt.Logger = enum.Enum("Logger", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO"])
    trt.TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    trt.TensorLocation = enum.Enum("TensorLocation", ["DEVICE", "HOST"])
    trt.DataType = enum.Enum("DataType", list(NUMBERS))
    trt.ExecutionContextAllocationStrategy = enum.Enum("Allocation", ["STATIC", "USER_MANAGED"])
    trt.ILogger, trt.Runtime = ILogger, partial(Runtime, stand_in)
    if name == "tensorrt_rtx":
        trt.CudaGraphStrategy = enum.Enum("CudaGraphStrategy", ["DISABLED", "WHOLE_GRAPH_CAPTURE"])
        trt.DynamicShapesKernelSpecializationStrategy = enum.Enum("Specialization", ["LAZY", "EAGER", "NONE"])
        trt.EngineValidity = enum.Enum("EngineValidity", ["VALID", "SUBOPTIMAL", "INVALID"])
        trt.Runtime = partial(RtxRuntime, stand_in)
    return trt


class ILogger:
    """The base class of loggers."""


class Runtime:
    engine_host_code_allowed = False

    def __init__(self, stand_in, log):
        self.stand_in, self.log = stand_in, log

    def deserialize_cuda_engine(self, content):
        state = self.stand_in.state
        state.loaded = True
        if state.refuses:
            self.stand_in.error(self.log, f"IRuntime::deserializeCudaEngine: Error Code 1: {state.refuses}")
            return None
        return self._engine(NAME.search(content).group().decode())

    def _engine(self, name):
        return Engine(self.stand_in, name, self.log)


class Engine:
    def __init__(self, stand_in, name, log):
        self.stand_in, self.name, self.log = stand_in, name, log
        self.num_io_tensors, self.num_optimization_profiles = len(self.network), len(stand_in.state.profiles)

    @property
    def network(self):
        return self.stand_in.state.network

    def get_tensor_name(self, index):
        return list(self.network)[index]

    def get_tensor_mode(self, name):
        modes = self.stand_in.trt.TensorIOMode
        return modes.OUTPUT if self.network[name].key == "out" else modes.INPUT

    def get_tensor_location(self, name):
        return self.stand_in.trt.TensorLocation.DEVICE

    def get_tensor_dtype(self, name):
        return self.stand_in.trt.DataType[self.network[name].type]

    def get_tensor_shape(self, name):
        return self.network[name].shape

    def create_execution_context(self, strategy):
        assert strategy == self.stand_in.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._context()
        self.stand_in.state.contexts.append(context)
        return context

    def _context(self):
        return Context(self.stand_in, self.log)


class Context:
    def __init__(self, stand_in, log):
        self.stand_in, self.world, self.state = stand_in, stand_in.world, stand_in.state
        self.log, self.profile, self.profile_set = log, None, False
        self.shapes, self.addresses, self.memory, self.needs = {}, {}, None, None

    def set_optimization_profile_async(self, profile, stream):
        assert profile < len(self.state.profiles)
        self.profile = profile
        self.world.enqueue(stream, self._profile_is_set)
        self.profile_set = False
        return True

    def _profile_is_set(self):
        self.profile_set = True

    def set_input_shape(self, name, shape):
        assert self.profile_set, "a profile first, and wait for it"
        known = self.state.network[name].shape
        low, _, high = self.state.profiles[self.profile]
        assert len(shape) == len(known)
        fits = all(a == b or (b == -1 and low <= a <= high) for a, b in zip(shape, known, strict=True))
        self.shapes[name] = tuple(shape)
        return fits

    def infer_shapes(self):
        return [name for name, of in self.state.network.items() if of.key != "out" and name not in self.shapes]

    def update_device_memory_size_for_shapes(self):
        assert not self.infer_shapes(), "all shapes first"
        self.batch = next(self.shapes[name][0] for name, of in self.state.network.items() if of.key == "x")
        self.needs = SCRATCH * self.batch
        return self.needs

    def set_device_memory(self, address, size):
        assert self.needs is not None, "ask how much it needs"
        assert size >= self.needs, "too little memory"
        assert address % 256 == 0, "memory that is not aligned"
        self.world.view(address, np.uint8, (size,))
        self.memory = (address, size)

    def set_tensor_address(self, name, address):
        assert name in self.state.network
        self.addresses[name] = address
        return address != 0

    def execute_async_v3(self, stream):
        assert self.addresses.keys() == self.state.network.keys(), "enqueue before all addresses are set"
        assert self.memory is not None, "enqueue without memory"
        if not self.state.takes:
            self.stand_in.error(self.log, "IExecutionContext::enqueueV3: Error Code 1: no stream")
            return False
        self.world.enqueue(stream, self._run)
        return True

    def _run(self):
        at = {}
        for name, of in self.state.network.items():
            shape = self.shapes.get(name, (self.batch, *of.shape[1:]))
            at[of.key] = self.world.view(self.addresses[name], NUMBERS[of.type], shape)
        self.world.view(self.memory[0], np.uint8, (self.memory[1],)).fill(255)
        at["out"][...] = expected(at["x"], at["t"], at.get("y"), at["out"].shape[1] // at["x"].shape[1])


class RtxRuntime(Runtime):
    def get_engine_validity(self, content):
        validity = self.stand_in.trt.EngineValidity
        if self.stand_in.state.valid:
            return validity.VALID, 0
        self.stand_in.error(self.log, "Error reading CUDA GPU properties")
        return validity.INVALID, 0

    def _engine(self, name):
        return RtxEngine(self.stand_in, name, self.log)


class RtxEngine(Engine):
    def create_runtime_config(self):
        return Config(self.stand_in.state)

    def create_execution_context(self, config):
        assert config.cuda_graph_strategy == self.stand_in.trt.CudaGraphStrategy.DISABLED
        assert config.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"
        assert config.cache is not None
        return super().create_execution_context(config.strategy)

    def _context(self):
        return RtxContext(self.stand_in, self.log)


class RtxContext(Context):
    def is_stream_capturable(self, stream):
        return stream != 0 and self.state.capturable


class Config:
    cuda_graph_strategy = dynamic_shapes_kernel_specialization_strategy = strategy = cache = None

    def __init__(self, state):
        self.state = state

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        self.state.caches.append(Cache(self.state))
        return self.state.caches[-1]

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class Cache:
    content = b"fresh"

    def __init__(self, state):
        self.state = state

    def deserialize(self, blob):
        self.content = bytes(blob)
        return blob.startswith(b"kernels")

    def serialize(self):
        return b"kernels of Context" if self.state.contexts else b""


def expected(x, t, y=None, times=1):
    """The output of the network."""
    per_image = np.broadcast_to(np.float32(t) / 1000 + (0 if y is None else np.float32(y)), (len(x),))
    return np.concatenate([2 * x + per_image[:, None, None, None].astype(np.float32)] * times, axis=1)
