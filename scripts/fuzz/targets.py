"""The readers of untrusted files, each with a valid file that the fuzzer mutates."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from onnx import TensorProto, helper
from PIL import Image
from safetensors.torch import save

from ddpm_export.betas_argument import read_betas
from ddpm_export.sources.facts import read_facts
from ddpm_ref.checkpoint import load_safetensors, load_tensors, read_json
from ddpm_ref.config import UNetConfig
from ddpm_ref.data import ImageFiles, read_array
from ddpm_ref.recipe import PRESETS, load_preset, load_recipe
from ddpm_ref.scheduler_config import read_scheduler
from ddpm_rt import ModelCard, Provenance
from ddpm_rt.artifacts.array_archive import read_byte_array
from ddpm_rt.artifacts.card import METADATA_KEY
from ddpm_rt.artifacts.fused_chain import FusedChain, FusedFacts, read_fused
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.onnx_metadata import write_metadata
from ddpm_rt.artifacts.plan_build import Build
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, read_plan, sidecar_path
from ddpm_rt.artifacts.quantization_record import METADATA_KEY as QUANTIZATION_KEY
from ddpm_rt.artifacts.quantization_record import read_quantization
from ddpm_rt.artifacts.steps_file import read_steps, write_steps
from ddpm_rt.images.read import load_array, load_images, load_mask
from ddpm_rt.images.write import read_text
from ddpm_rt.requests.sampler_options import SamplerOptions

SHAPE = (1, 8, 8)
NAMES = {"x": "x", "t": "t", "out": "out"}
BETAS = tuple(np.linspace(1e-3, 0.3, 40).tolist())
CARD = ModelCard(
    image_shape=SHAPE, betas=BETAS, prediction="eps", variance="fixed_small", clip=(-1.0, 1.0), spacing="trailing",
    classes=None, null_class=None, names=NAMES, precision="fp32", provenance=Provenance("tiny", "0" * 64, {}, {}),
)  # fmt: skip
SCHEDULER = {
    "_class_name": "DDPMScheduler", "num_train_timesteps": 40, "beta_schedule": "linear", "beta_start": 1e-3,
    "beta_end": 0.3, "prediction_type": "epsilon", "variance_type": "fixed_small", "clip_sample": True,
    "clip_sample_range": 1.0, "timestep_spacing": "trailing", "trained_betas": None,
}  # fmt: skip


class Target(NamedTuple):
    """A reader, the suffix of its files, and the bytes of a valid file."""

    read: Callable[[Path], Any]
    suffix: str
    seed: bytes


def onnx_file(**texts: str) -> bytes:
    x, t = (helper.make_tensor_value_info(name, kind, ["batch", *rest]) for name, kind, rest in
            (("x", TensorProto.FLOAT, SHAPE), ("t", TensorProto.INT64, ())))  # fmt: skip
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", *SHAPE])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["out"])], "tiny", [x, t], [out])
    model = helper.make_model(graph)
    helper.set_model_props(model, {METADATA_KEY: CARD.to_json(), **texts})
    content: bytes = model.SerializeToString()
    return content


def fused_file() -> bytes:
    sampler = SamplerOptions(sampler="ddpm", steps=5).compile(CARD)
    return onnx_file(**FusedChain(CARD, sampler, FusedFacts("float32", 1.0, "0" * 64)).metadata())


def quantised_file(folder: Path) -> bytes:
    layers = {"conv": {"error": 0.01, "multiply_adds": 1.0, "float": None}}
    record = {"format": 1, "for": "cpu", "calibration": {"sampler": "ddim"}, "layers": layers}
    path = folder / "quantised.onnx"
    path.write_bytes(onnx_file())
    write_metadata(path, {QUANTIZATION_KEY: json.dumps(record)})
    return path.read_bytes()


def steps_file(folder: Path) -> bytes:
    path = folder / "seed.steps.json"
    write_steps(path, SamplerOptions(sampler="ddpm", steps=5).compile(CARD), CARD)
    return path.read_bytes()


PLAN = b"vtrt" + network_name(CARD).encode() + b"\0"


def plan_record() -> bytes:
    build = Build(
        flavour="rtx", version="1.7.1.116", compute_capabilities=("8.9",), profiles=((1, 1, 1),),
        tensors={"x": "fp32"}, layers={"convolution": {"fp16": 36}}, options={"batch": "1"}, onnx={"u.onnx": "1" * 64},
    )  # fmt: skip
    return PlanRecord(CARD, build, len(PLAN), "0" * 64).to_json().encode()


def read_record(path: Path) -> object:
    plan = path.with_name("u.plan")
    plan.write_bytes(PLAN)
    sidecar_path(plan).write_bytes(path.read_bytes())
    return read_plan(plan)


def picture(kind: str, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert(mode).save(file, kind)
    return file.getvalue()


def array(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, train_images=np.zeros((4, 8, 8, 1), np.uint8))
    return file.getvalue()


def picture_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", picture("PNG"))
    return file.getvalue()


def tensors(**how: Any) -> bytes:
    file = io.BytesIO()
    torch.save({"a.weight": torch.zeros(2, 3), "step": 3}, file, **how)
    return file.getvalue()


def all_targets(folder: Path) -> dict[str, Target]:
    """The targets by name. Temporary files are created in `folder`."""
    zeros = {"a.weight": torch.zeros(2, 3), "b.bias": torch.ones(4)}
    recipe = (PRESETS / "mnist.toml").read_bytes()
    facts = b'image_size = 8\nbetas = [0.1, 0.2]\nprediction = "eps"\nclip = [-1.0, 1.0]\nheads = 2\n'
    config, scheduler = json.dumps(load_preset("mnist").model.to_dict()).encode(), json.dumps(SCHEDULER).encode()
    return {
        "onnx": Target(read_onnx_card, ".onnx", onnx_file()),
        "fused": Target(read_fused, ".onnx", fused_file()),
        "card": Target(lambda path: ModelCard.from_json(path.read_bytes().decode("utf-8", "replace"), str(path)),
                       ".json", CARD.to_json().encode()),
        "steps": Target(lambda path: read_steps(path, CARD), ".json", steps_file(folder)),
        "record": Target(read_record, ".json", plan_record()),
        "config": Target(lambda path: UNetConfig.from_dict(read_json(path)), ".json", config),
        "scheduler": Target(lambda path: read_scheduler(read_json(path), path), ".json", scheduler),
        "recipe": Target(load_recipe, ".toml", recipe),
        "facts": Target(read_facts, ".toml", facts),
        "betas": Target(read_betas, ".json", json.dumps(BETAS).encode()),
        "betas npy": Target(read_betas, ".npy", array(np.array(BETAS))),
        "array": Target(lambda path: load_array(path, SHAPE), ".npy", array(np.zeros((2, *SHAPE), ">f4"))),
        "byte array": Target(read_byte_array, ".npz", npz()),
        "quantization": Target(read_quantization, ".onnx", quantised_file(folder)),
        "image": Target(lambda path: load_images(path, SHAPE), ".png", picture("PNG")),
        "palette": Target(lambda path: load_images(path, SHAPE), ".gif", picture("GIF", "P")),
        "jpeg": Target(lambda path: load_images(path, SHAPE), ".jpg", picture("JPEG")),
        "mask": Target(lambda path: load_mask(path, SHAPE), ".webp", picture("WEBP", "RGB")),
        "text": Target(read_text, ".png", picture("PNG")),
        "npz": Target(lambda path: read_array(path, (8, 8, 1)), ".npz", npz()),
        "zip": Target(lambda path: ImageFiles(path, (8, 8, 1), "exact")[0], ".zip", picture_zip()),
        "safetensors": Target(load_safetensors, ".safetensors", save(zeros)),
        "pt": Target(load_tensors, ".pt", tensors()),
        "old pt": Target(load_tensors, ".pt", tensors(_use_new_zipfile_serialization=False)),
    }  # fmt: skip
