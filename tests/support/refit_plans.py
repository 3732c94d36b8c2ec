"""Plans for `fake_refitter`, weights for them, and calls of `ddpm-rt refit`."""

import dataclasses

import fake_refitter
import numpy as np
import onnx
from click.testing import CliRunner
from fake_refitter import plan_bytes
from onnx import numpy_helper

from ddpm_export.graph.identity import graph_of
from ddpm_export.plans.build import read_source
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_build import Build
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, sidecar_path
from ddpm_rt.cli import main


def make_plan(path, source, **options):
    """A plan of the stand-in's kind, with its record."""
    options = {"batch": None, "refittable": True, "strip_weights": False, "version_compatible": False} | options
    card, onnx_digests = read_source(source)
    replaceable = options["refittable"] or options["strip_weights"]
    build = Build(
        flavour="tensorrt",
        version=fake_refitter.VERSION,
        compute_capabilities=("8.9",),
        profiles=((1, 16, 16),),
        tensors={"x": "fp32", "t": "int64", "out": "fp32"},
        layers={"convolution": {"fp16": 19}},
        options=options,
        onnx=onnx_digests,
        graph=graph_of(source) if replaceable else None,
    )
    weights = fake_refitter.digests(source)
    if options["strip_weights"]:
        weights = dict.fromkeys(weights)
    content = plan_bytes(network_name(card), weights, refittable=replaceable)
    path.write_bytes(content)
    record = PlanRecord(card, build, len(content), file_sha256(path))
    sidecar_path(path).write_text(record.to_json())
    return path


def other_weights(source, path, card=None, change=lambda model: None):
    """The same network with all weights multiplied by 3/4, as if trained again."""
    model, known = onnx.load(source), read_source(source)[0]
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float16(0.75), tensor.name))
    change(model)
    trained = dataclasses.replace(known.provenance, source="longer", weights_sha256="1" * 64)
    card = dataclasses.replace(known, **{"provenance": trained, **(card or {})})
    onnx.helper.set_model_props(model, {"ddpm_rt.card": card.to_json()})
    onnx.save(model, path)
    return path


def refit(plan, weights, out, *options):
    return CliRunner().invoke(main, ["refit", *map(str, (plan, "--weights", weights, "-o", out, *options))])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
