"""A stand-in for onnxruntime-gpu: CPU sessions that run on the memory and streams of a `DeviceWorld`."""

from functools import partial
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime

ALL = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


class State:
    """The state of the stand-in, which a test may inspect or change."""

    def __init__(self):
        self.built_with = ALL
        self.starts = set(ALL)  # providers whose libraries are installed
        self.raises = None  # the error when a session opens
        self.fails = False  # whether a run fails
        self.on_cpu = []  # kinds of nodes that run on the CPU
        self.sessions = []


def make_onnxruntime(world, state):
    """The module."""
    module = ModuleType("onnxruntime")
    module.__version__ = "1.31.1"
    module.get_available_providers = lambda: list(state.built_with)
    module.set_default_logger_severity = lambda level: None
    module.SessionOptions = module.RunOptions = Options
    module.InferenceSession = partial(open_session, world, state)
    module.preload_dlls = lambda: print("Failed to load libcudnn.so.9")
    return module


def open_session(world, state, path, options, *, providers, enable_fallback=1):
    if providers == ["CPUExecutionProvider"]:
        return onnxruntime.InferenceSession(path, providers=providers)
    assert not enable_fallback, "a session that silently falls back to the CPU"
    if state.raises is not None:
        raise state.raises
    session = Session(world, state, path, options, providers)
    state.sessions.append(session)
    return session


class Options:
    def __init__(self):
        self.log_severity_level, self.entries = 2, {}

    def add_session_config_entry(self, key, value):
        self.entries[key] = value

    add_run_config_entry = add_session_config_entry


class Binding:
    def __init__(self, session):
        self.session, self.bound = session, {}

    def bind_input(self, name, device, number, kind, shape, address):
        assert (device, number) == ("cuda", int(self.session.options["device_id"]))
        self.bound[name] = (address, kind, shape)

    bind_output = bind_input


class Session:
    """A session on a GPU: the CPU's session, run on device memory in the order of a stream."""

    def __init__(self, world, state, path, options, providers):
        self.world, self.state = world, state
        self.real = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.providers, self.options, self.session_options = dict(providers), dict(providers[0][1]), options
        self.stream = int(self.options["user_compute_stream"])
        self.run_options = None

    def get_providers(self):
        return [name for name in (*self.providers, "CPUExecutionProvider") if name in self.state.starts]

    def get_provider_graph_assignment_info(self):
        assert self.session_options.entries["session.record_ep_graph_assignment_info"] == "1"
        nodes = [SimpleNamespace(op_type=kind) for kind in self.state.on_cpu]
        return [SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes)]

    def get_modelmeta(self):
        return self.real.get_modelmeta()

    def get_inputs(self):
        return self.real.get_inputs()

    def get_outputs(self):
        return self.real.get_outputs()

    def io_binding(self):
        return Binding(self)

    def run_with_iobinding(self, binding, run_options):
        if self.state.fails:
            raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED\nsecond line")
        assert run_options.entries["disable_synchronize_execution_providers"] == "1"
        inputs = [tensor.name for tensor in self.real.get_inputs()]
        (output,) = [tensor.name for tensor in self.real.get_outputs()]
        assert binding.bound.keys() == {*inputs, output}, "a run before everything is bound"

        def run():
            feed = {name: np.array(self.world.view(*binding.bound[name])) for name in inputs}
            self.world.view(*binding.bound[output])[...] = self.real.run([output], feed)[0]

        self.world.enqueue(self.stream, run)
