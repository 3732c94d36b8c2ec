"""A stand-in for TensorRT's refitter on a machine without a GPU. It rejects calls in a wrong order.

What its classes and members are called is checked against the real bindings (`scripts/check_tensorrt_api.py`); what
they promise is read from TensorRT's headers. A plan of this stand-in is the network's name and JSON digests of weights.
"""

import hashlib
import json
import weakref
from types import SimpleNamespace

import onnx
from fake_tensorrt import ILogger

VERSION = "11.4.0.106"


class OutOfOrderError(AssertionError):
    """A call that TensorRT forbids, or whose effect is undefined."""


def demand(holds, what):
    if not holds:
        raise OutOfOrderError(what)


def digests(path):
    """The digest that a stand-in plan stores for each weight of an ONNX file."""
    return {
        tensor.name: hashlib.sha256(tensor.SerializeToString()).hexdigest()
        for tensor in onnx.load(path).graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    }


def plan_bytes(name, weights, *, refittable=True):
    return b"ftrt" + json.dumps({"refittable": refittable, "weights": weights}).encode() + name.encode()


def weights_in(content):
    return json.JSONDecoder().raw_decode(content[4:].decode())[0]["weights"]


class Logger(ILogger):
    ERROR, INTERNAL_ERROR = SimpleNamespace(name="ERROR"), SimpleNamespace(name="INTERNAL_ERROR")


class SerializationFlag:
    EXCLUDE_WEIGHTS, EXCLUDE_LEAN_RUNTIME = "weights", "lean runtime"


class ISerializationConfig:
    def __init__(self):
        self._flags = {SerializationFlag.EXCLUDE_WEIGHTS}  # the worst case: the initial flags are not documented

    def set_flag(self, flag):
        self._flags.add(flag)

    def clear_flag(self, flag):
        self._flags.discard(flag)


class Runtime:
    def __init__(self, log):
        demand(isinstance(log, ILogger), "a runtime needs a logger")
        self._log = log

    def deserialize_cuda_engine(self, content):
        if content[:4] != b"ftrt":
            self._log.log(Logger.ERROR, "IRuntime::deserializeCudaEngine: Error Code 1: magic tag does not match")
            return None
        return ICudaEngine(self, content, self._log)


class ICudaEngine:
    def __init__(self, runtime, content, log):
        facts, end = json.JSONDecoder().raw_decode(content[4:].decode())
        self._runtime, self._log, self._name = weakref.ref(runtime), log, content[4:].decode()[end:]
        self._facts, self._refitted = facts, False

    @property
    def refittable(self):
        return self._facts["refittable"]

    def create_serialization_config(self):
        return ISerializationConfig()

    def serialize_with_config(self, config):
        demand(self._runtime() is not None, "the runtime is gone")
        demand(self._refitted, "written before it was refitted")
        demand(SerializationFlag.EXCLUDE_WEIGHTS not in config._flags, "written without its weights")
        lean = b"" if SerializationFlag.EXCLUDE_LEAN_RUNTIME in config._flags else b" lean runtime"
        return memoryview(plan_bytes(self._name, self._facts["weights"]) + lean)


class Refitter:
    def __init__(self, engine, log):
        if not engine.refittable:
            raise TypeError("factory function returned nullptr")
        self._engine, self._log, self._source = engine, log, None

    def get_missing_weights(self):
        return sorted(set(self._engine._facts["weights"]) - set(self._held()))

    def refit_cuda_engine(self):
        if self.get_missing_weights():
            self._log.log(Logger.ERROR, "IRefitter::refitCudaEngine: Error Code 4: weights are missing")
            return False
        self._engine._facts["weights"] = {name: self._held()[name] for name in self._engine._facts["weights"]}
        self._engine._refitted = True
        return True

    def _held(self):
        if self._source is None:
            return {}
        demand(self._source() is not None, "the parser that holds the weights is gone")
        return self._source()._weights


class OnnxParserRefitter:
    def __init__(self, refitter, log):
        demand(isinstance(refitter, Refitter) and isinstance(log, ILogger), "a parser needs a refitter and a logger")
        self._refitter, self._weights, self._errors = refitter, {}, []

    def refit_from_file(self, model):
        demand(not self._weights, "one model only")
        wanted = self._refitter._engine._facts["weights"]
        self._weights = {name: digest for name, digest in digests(model).items() if name in wanted}
        self._refitter._source = weakref.ref(self)
        if self._weights.keys() != wanted.keys():
            self._errors.append(ParserError("Failed to refit all the weights."))
        return not self._errors

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class ParserError:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text

    def node_name(self):
        return ""

    def node_operator(self):
        return ""


PARTS = (
    *(ILogger, Logger, SerializationFlag, ISerializationConfig),
    *(Runtime, ICudaEngine, Refitter, OnnxParserRefitter, ParserError),
)


def module(**replaced):
    """The stand-in module, with some classes replaced."""
    names = {"__name__": "tensorrt", "__version__": VERSION, **{kind.__name__: kind for kind in PARTS}}
    return SimpleNamespace(**{**names, **replaced})
