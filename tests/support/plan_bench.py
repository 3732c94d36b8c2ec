"""A plan of the stand-in for TensorRT on the stand-in device."""

import numpy as np
from elsewhere import in_new_thread
from fake_tensorrt import SCRATCH

from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.plan_build import Build
from ddpm_rt.artifacts.plan_record import PlanRecord, network_name, sidecar_path
from ddpm_rt.device.device_denoiser import DeviceDenoiser
from ddpm_rt.device.device_engine import Buffers
from ddpm_rt.engines.opening import open_device_engine

PROFILES = ((1, 1, 1), (4, 4, 4), (2, 8, 16))
FLAVOURS = {"tensorrt": "tensorrt", "tensorrt_lean": "tensorrt", "tensorrt_rtx": "rtx"}


class Bench:
    def __init__(self, path, world, state, card):
        self.path, self.world, self.state, self.card = path, world, state, card

    def write(self, changes):
        content = b"ftrt" + network_name(self.card).encode() + b"\0" * 100
        self.path.write_bytes(content)
        known = {"version": "10.3.0", "compute_capabilities": ("8.9",), "tensors": {}, "layers": {}}
        build = Build(**(known | {"onnx": {"unet.onnx": "1" * 64}} | changes))
        record = PlanRecord(self.card, build, len(content), file_sha256(self.path))
        sidecar_path(self.path).write_text(record.to_json())

    def open(self):
        opened = in_new_thread(
            lambda: open_device_engine(self.path)
        )  # cuda.core caches a GPU's capability for each thread
        opened.gpu.set_current()
        return opened

    def denoiser(self):
        return DeviceDenoiser(*self.open())

    def buffers(self, gpu, batch, **changes):
        """Buffers for a batch of the Gaussian model."""
        sizes = {"x": batch * 96, "t": batch * 8, "out": batch * 96, "scratch": batch * SCRATCH}
        return Buffers(**({"y": 0} | {name: self.world.allocate(gpu, size) for name, size in sizes.items()} | changes))


def images(card, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *card.image_shape)).astype(np.float32), np.arange(count) * 37 % 1000
