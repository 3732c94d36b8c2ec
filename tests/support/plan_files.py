"""Fake plans, whose bytes only look like TensorRT's, with their records."""

from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_build import Build
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, sidecar_path

BUILD = Build(
    flavour="rtx",
    version="1.7.1.116",
    compute_capabilities=("8.9", "12.0"),
    profiles=((1, 1, 1), (1, 8, 64)),
    tensors={"x": "fp32", "t": "int64", "out": "fp32"},
    layers={"convolution": {"fp16": 36}, "softmax": {"fp32": 4}},
    options={"batch": "1,1:8:64", "tf32": False, "level": 3},
    onnx={"unet.onnx": "1" * 64},
)


def write_plan(path, card, filling=b"\0\1\2" * 100):
    content = b"vtrt" + filling + network_name(card).encode() + filling
    path.write_bytes(content)
    record = PlanRecord(card, BUILD, len(content), file_sha256(path))
    sidecar_path(path).write_text(record.to_json())
    return record
