"""The stand-in device as the stand-ins for TensorRT and onnxruntime see it: memory to look at, streams to work on."""

from types import SimpleNamespace


class DeviceWorld:
    """`fake_cuda.World` over the stand-in for the driver, on which cuda.core itself runs, graphs and all."""

    def __init__(self, stand_in):
        self.stand_in = stand_in

    def view(self, address, dtype, shape):
        return self.stand_in.array(address, shape, dtype)

    def queue(self, handle):
        """Where work for this stream is appended."""
        return SimpleNamespace(append=lambda work: self._enqueue(int(handle), work))

    def _enqueue(self, handle, work):
        status = self.stand_in.enqueue(handle, work)
        assert status == 0, f"the driver refuses: {status}"
