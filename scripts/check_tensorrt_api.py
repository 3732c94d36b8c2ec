"""List which of the TensorRT members that `ddpm-rt` uses to build, refit and run plans exist in each release.

    pip download --no-deps tensorrt-cu12-bindings==10.3.0        # each release of interest, with this Python
    python scripts/check_tensorrt_api.py *bindings*.whl --out tests/data/tensorrt_api.json

The script imports the bindings against empty libraries, which it builds with gcc, nm and readelf. The classes and enum
members are then those of the real module, and no code of TensorRT runs. `tests/export/test_tensorrt_api.py` compares
our code with the list.
"""

import argparse
import ctypes
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

USED = {
    "Logger": ["ERROR", "INTERNAL_ERROR"],
    "ILogger": ["log"],
    "Builder": [
        *("create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network"),
    ],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "OnnxParser": ["parse_from_file", "num_errors", "get_error"],
    "ParserError": ["desc", "node_name", "node_operator"],
    "INetworkDefinition": ["name", "num_inputs", "get_input", "num_outputs", "get_output", "num_layers", "get_layer"],
    "ITensor": ["name", "shape", "dtype"],
    "ILayer": ["num_outputs", "get_output", "type"],
    "IBuilderConfig": [
        *("profiling_verbosity", "add_optimization_profile", "set_flag", "clear_flag", "progress_monitor"),
        *("builder_optimization_level", "set_memory_pool_limit", "hardware_compatibility_level"),
        *("set_timing_cache", "create_timing_cache", "get_timing_cache"),
    ],
    "IOptimizationProfile": ["set_shape"],
    "ITimingCache": ["serialize"],
    "IProgressMonitor": ["phase_start", "phase_finish", "step_complete"],
    "ProfilingVerbosity": ["DETAILED"],
    "BuilderFlag": ["REFIT", "STRIP_PLAN", "VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME", "TF32"],
    "HardwareCompatibilityLevel": ["AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY"],
    "MemoryPoolType": ["WORKSPACE"],
    "DataType": ["FLOAT", "HALF", "BF16", "INT64"],
    "Runtime": ["deserialize_cuda_engine"],
    "ICudaEngine": ["refittable", "create_serialization_config", "serialize_with_config"],
    "Refitter": ["get_missing_weights", "refit_cuda_engine"],
    "OnnxParserRefitter": ["refit_from_file", "num_errors", "get_error"],
    "ISerializationConfig": ["set_flag", "clear_flag"],
    "SerializationFlag": ["EXCLUDE_WEIGHTS", "EXCLUDE_LEAN_RUNTIME"],
}
RUNTIME = {
    "Logger": ["ERROR", "INTERNAL_ERROR"],
    "ILogger": ["log"],
    "Runtime": ["deserialize_cuda_engine"],
    "ICudaEngine": [
        *("name", "num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_location", "get_tensor_dtype"),
        *("get_tensor_shape", "num_optimization_profiles", "create_execution_context"),
    ],
    "IExecutionContext": [
        *("set_optimization_profile_async", "set_input_shape", "infer_shapes", "update_device_memory_size_for_shapes"),
        *("set_device_memory", "set_tensor_address", "execute_async_v3"),
    ],
    "ExecutionContextAllocationStrategy": ["USER_MANAGED"],
    "TensorIOMode": ["INPUT", "OUTPUT"],
    "TensorLocation": ["DEVICE"],
    "DataType": ["FLOAT", "INT64", "INT32"],
}
RTX_RUNTIME = {
    "Runtime": ["get_engine_validity"],
    "EngineValidity": ["INVALID"],
    "ICudaEngine": ["create_runtime_config"],
    "IRuntimeConfig": [
        *("set_execution_context_allocation_strategy", "cuda_graph_strategy", "create_runtime_cache"),
        *("dynamic_shapes_kernel_specialization_strategy", "set_runtime_cache"),
    ],
    "IRuntimeCache": ["serialize", "deserialize"],
    "CudaGraphStrategy": ["DISABLED"],
    "DynamicShapesKernelSpecializationStrategy": ["EAGER"],
    "IExecutionContext": ["is_stream_capturable"],
}
RTX_ONLY = {
    "BuilderFlag": ["REQUIRE_USER_ALLOCATION"],
    "IBuilderConfig": ["num_compute_capabilities", "set_compute_capability"],
    "ComputeCapability": ["SM75", "SM80", "SM86", "SM89", "SM120"],
}


def members(module, used):
    """For every used `Class.member`: whether the module has it."""
    return {
        f"{kind}.{name}": hasattr(getattr(module, kind, None), name) for kind, names in used.items() for name in names
    }


def parts(name):
    """The used members of a package: the lean runtime cannot build, and TensorRT-RTX has additional members."""
    if "lean" in name:
        return (RUNTIME,)
    return (USED, RUNTIME, RTX_ONLY, RTX_RUNTIME) if "rtx" in name else (USED, RUNTIME)


def members_of(module, name):
    """`members` for everything that `ddpm-rt` uses of the package of this name."""
    return {member: there for used in parts(name) for member, there in members(module, used).items()}


def load_extension(wheel, folder):
    """Unpack the bindings of a wheel, with an empty library for each library that they need."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    library = next(path for path in folder.rglob("tensorrt*.so") if "plugin" not in path.name)
    needed = re.findall(r"NEEDED.*\[(lib(?:nv|tensorrt)[^\]]+)\]", said("readelf", "-d", library))
    source = folder / "empty.c"
    source.write_text("".join(f"void {symbol}(void) {{}}\n" for symbol in undefined(library)))
    for name in needed:
        command = ["gcc", "-shared", "-w", "-fno-builtin", source, f"-Wl,-soname,{name}", "-o", folder / name]
        subprocess.run(command, check=True)
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    loader = importlib.machinery.ExtensionFileLoader(library.stem, str(library))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(library.stem, loader))
    sys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)
    loader.exec_module(module)
    return module


def undefined(library):
    """The functions of TensorRT whose addresses the bindings need."""
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    return sorted(name for name in names if re.search("NvOnnx|Infer|nvinfer1|nvonnxparser|Plugin", name))


def said(*command):
    """The standard output of a program."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:  # one process per release: two releases cannot share a process
        with tempfile.TemporaryDirectory() as folder:
            module = load_extension(asked.wheels[0], Path(folder))
            print(json.dumps(members_of(module, asked.wheels[0].name)))
        return
    record = {}
    for wheel in asked.wheels:
        name = "-".join(wheel.name.split("-")[:2])
        command = [sys.executable, __file__, "--one", str(wheel)]
        found = json.loads(said(*command))
        missing = [member for member, there in found.items() if not there]
        record[name] = {"members": len(found), "missing": missing}
        print(
            f"{name}: {len(found) - len(missing)} of {len(found)}"
            + (f", without {', '.join(missing)}" if missing else "")
        )
    if asked.out:
        asked.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
