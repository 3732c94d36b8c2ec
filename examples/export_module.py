"""Export a PyTorch module with its model card, and sample it without PyTorch."""

import numpy as np
import torch

import ddpm_rt
from ddpm_export.onnx_export import export_onnx
from ddpm_ref.checkpoint import weights_sha256


class Network(torch.nn.Module):
    """Stands for your trained network: x float32 [B, 3, 16, 16], t int64 [B] -> the noise in x."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, t):
        return self.conv(x) * (1 + t[:, None, None, None] / 1000)


network = Network().eval()
digest = weights_sha256(network.state_dict())
card = ddpm_rt.ModelCard(
    image_shape=(3, 16, 16),
    betas=tuple(np.linspace(1e-4, 0.02, 1000).tolist()),  # those of the training
    prediction="eps",
    variance="fixed_small",
    clip=(-1.0, 1.0),
    spacing="trailing",
    classes=None,
    null_class=None,
    names={"x": "x", "t": "t", "out": "out"},
    precision="fp32",
    provenance=ddpm_rt.Provenance("network", digest, {"torch": torch.__version__}, parity={}),
)
export_onnx(network, card, "network.onnx")  # raises if ONNX Runtime and PyTorch disagree
print(ddpm_rt.sample("network.onnx", count=2, steps=10).shape)
