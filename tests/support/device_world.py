"""The stand-in device for the stand-ins of TensorRT and onnxruntime: its memory and streams."""

import sys
from importlib.machinery import ModuleSpec

from cuda_stand_in import WAITS


class DeviceWorld:
    """The current stand-in device, used through the real cuda.core."""

    def __init__(self, stand_in, *, capability=(8, 9), devices=1):
        self.stand_in, self._buffers = stand_in, []
        stand_in.settings.devices, (stand_in.settings.major, stand_in.settings.minor) = devices, capability

    def view(self, address, dtype, shape):
        """A writable array over the memory at a device address."""
        return self.stand_in.array(address, shape, dtype)

    def enqueue(self, handle, work):
        """Append a function to the work of the stream with this handle."""
        status = self.stand_in.enqueue(int(handle), work)
        assert status == 0, f"the driver refuses: {status}"

    def allocate(self, gpu, size):
        """The address of new memory, which exists as long as this object."""
        stream = gpu.create_stream()
        self._buffers.append(gpu.allocate(size, stream=stream))
        stream.sync()
        return int(self._buffers[-1].handle)

    @property
    def waits(self):
        """The number of times that the host has waited for the device."""
        return sum(name in WAITS for name in self.stand_in.calls())


def install(monkeypatch, *modules):
    """Make imports find these modules."""
    for module in modules:
        module.__spec__ = ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
