"""An independent float64 version of guided-diffusion's UNet: one function for each formula, without modules.

It shares no code with `ddpm_ref.guided_unet`, which must agree with it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Hyper:
    """The flags of guided-diffusion's training script."""

    num_channels: int = 32
    channel_mult: tuple = (1, 2)
    num_res_blocks: int = 1
    attention_ds: tuple = (2,)
    num_heads: int = 2
    new_order: bool = False
    scale_shift: bool = False
    resblock_updown: bool = False
    learn_sigma: bool = False
    classes: int = None
    time_scale: float = 1.0


def blueprint(h):
    """The layers of each block, (kind, channels in, channels out), in the order of guided-diffusion's constructor."""
    width = first = int(h.channel_mult[0] * h.num_channels)
    down, skips, ds = [[("conv", 3, width)]], [width], 1
    for level, mult in enumerate(h.channel_mult):
        out = int(mult * h.num_channels)
        for _ in range(h.num_res_blocks):
            down.append([("res", width, out)] + ([("attn", out, out)] if ds in h.attention_ds else []))
            width = out
            skips.append(width)
        if level != len(h.channel_mult) - 1:
            down.append([("res_down" if h.resblock_updown else "down", width, width)])
            skips.append(width)
            ds *= 2
    middle, up = [("res", width, width), ("attn", width, width), ("res", width, width)], []
    for level, mult in list(enumerate(h.channel_mult))[::-1]:
        out = int(mult * h.num_channels)
        for i in range(h.num_res_blocks + 1):
            layers = [("res", width + skips.pop(), out)] + ([("attn", out, out)] if ds in h.attention_ds else [])
            width = out
            if level and i == h.num_res_blocks:
                layers.append(("res_up" if h.resblock_updown else "up", width, width))
                ds //= 2
            up.append(layers)
    return down, middle, up, first


def random_state(h, seed=0):
    """A state dict of random values under OpenAI's names, float32."""
    generator = torch.Generator().manual_seed(seed)
    state, embed = {}, 4 * h.num_channels

    def affine(name, *shape):
        fan = math.prod(shape[1:])
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) / fan**0.5
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1

    def norm(name, width):
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        state[f"{name}.bias"] = 0.2 * torch.randn(width, generator=generator)

    def layer(name, kind, cin, cout):
        if kind == "conv":
            affine(name, cout, cin, 3, 3)
        elif kind in ("down", "up"):
            affine(f"{name}.{'op' if kind == 'down' else 'conv'}", cout, cin, 3, 3)
        elif kind == "attn":
            norm(f"{name}.norm", cin)
            affine(f"{name}.qkv", 3 * cin, cin, 1)
            affine(f"{name}.proj_out", cin, cin, 1)
        else:
            norm(f"{name}.in_layers.0", cin)
            affine(f"{name}.in_layers.2", cout, cin, 3, 3)
            affine(f"{name}.emb_layers.1", cout * (2 if h.scale_shift else 1), embed)
            norm(f"{name}.out_layers.0", cout)
            affine(f"{name}.out_layers.3", cout, cout, 3, 3)
            if cin != cout:
                affine(f"{name}.skip_connection", cout, cin, 1, 1)

    down, middle, up, first = blueprint(h)
    affine("time_embed.0", embed, h.num_channels)
    affine("time_embed.2", embed, embed)
    if h.classes:
        state["label_emb.weight"] = torch.randn(h.classes, embed, generator=generator)
    for name, blocks in (("input_blocks", down), ("output_blocks", up)):
        for i, layers in enumerate(blocks):
            for j, (kind, cin, cout) in enumerate(layers):
                layer(f"{name}.{i}.{j}", kind, cin, cout)
    for j, (kind, cin, cout) in enumerate(middle):
        layer(f"middle_block.{j}", kind, cin, cout)
    norm("out.0", first)
    affine("out.2", 6 if h.learn_sigma else 3, first, 3, 3)
    return state


class Weights:
    """The linear formulas, with the weights of a state dict in float64."""

    def __init__(self, state):
        self.w = {name: tensor.double() for name, tensor in state.items()}

    def conv(self, name, x, stride=1):
        weight = self.w[f"{name}.weight"]
        return F.conv2d(x, weight, self.w[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)

    def norm(self, name, x):
        groups = x.reshape(len(x), 32, -1)
        mean, variance = groups.mean(2, keepdim=True), groups.var(2, keepdim=True, unbiased=False)
        flat = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
        return flat * self.w[f"{name}.weight"][:, None, None] + self.w[f"{name}.bias"][:, None, None]

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]


def silu(x):
    return x / (1 + (-x).exp())


def double(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def halve(x):
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def residual(weights, h, name, kind, x, time):
    change = {"res_down": halve, "res_up": double}.get(kind, lambda x: x)
    inner = weights.conv(f"{name}.in_layers.2", change(silu(weights.norm(f"{name}.in_layers.0", x))))
    embedded = weights.linear(f"{name}.emb_layers.1", silu(time))[:, :, None, None]
    if h.scale_shift:
        half = embedded.shape[1] // 2
        inner = weights.norm(f"{name}.out_layers.0", inner) * (1 + embedded[:, :half]) + embedded[:, half:]
    else:
        inner = weights.norm(f"{name}.out_layers.0", inner + embedded)
    shortcut = change(x)
    if f"{name}.skip_connection.weight" in weights.w:
        shortcut = weights.conv(f"{name}.skip_connection", shortcut)
    return shortcut + weights.conv(f"{name}.out_layers.3", silu(inner))


def attention(weights, h, name, x):
    width, d = x.shape[1], x.shape[1] // h.num_heads
    weight, bias = weights.w[f"{name}.qkv.weight"][:, :, 0], weights.w[f"{name}.qkv.bias"]
    qkv = torch.einsum("oc,bcn->bon", weight, weights.norm(f"{name}.norm", x).flatten(2)) + bias[:, None]
    heads = []
    for head in range(h.num_heads):
        starts = [i * width + head * d for i in range(3)] if h.new_order else [(3 * head + i) * d for i in range(3)]
        q, k, v = (qkv[:, start : start + d] for start in starts)
        scores = torch.einsum("bdi,bdj->bij", q, k) / d**0.5
        share = scores.exp() / scores.exp().sum(2, keepdim=True)
        heads.append(torch.einsum("bij,bdj->bdi", share, v))
    mixed = torch.cat(heads, 1).reshape(x.shape)
    out, bias = weights.w[f"{name}.proj_out.weight"][:, :, 0], weights.w[f"{name}.proj_out.bias"]
    return x + torch.einsum("oc,bchw->bohw", out, mixed) + bias[:, None, None]


def time_embedding(weights, h, t, y):
    """The sinusoids have float32 angles, as in guided-diffusion."""
    half = h.num_channels // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angle = (t.float() * h.time_scale)[:, None] * frequency
    sinusoids = torch.cat([angle.cos(), angle.sin()], 1).double()
    time = weights.linear("time_embed.2", silu(weights.linear("time_embed.0", sinusoids)))
    return time + weights.w["label_emb.weight"][y] if h.classes else time


def forward(state, h, x, t, y=None):
    """The network's output in float64, except for the angles of the sinusoids."""
    weights = Weights(state)
    time = time_embedding(weights, h, t, y)

    def layer(name, kind, x):
        if kind == "conv":
            return weights.conv(name, x)
        if kind == "down":
            return weights.conv(f"{name}.op", x, stride=2)
        if kind == "up":
            return weights.conv(f"{name}.conv", double(x))
        return attention(weights, h, name, x) if kind == "attn" else residual(weights, h, name, kind, x, time)

    def block(name, layers, x):
        for j, (kind, _, _) in enumerate(layers):
            x = layer(f"{name}.{j}", kind, x)
        return x

    down, middle, up, _ = blueprint(h)
    x, skips = x.double(), []
    for i, layers in enumerate(down):
        x = block(f"input_blocks.{i}", layers, x)
        skips.append(x)
    x = block("middle_block", middle, x)
    for i, layers in enumerate(up):
        x = block(f"output_blocks.{i}", layers, torch.cat([x, skips.pop()], 1))
    return weights.conv("out.2", silu(weights.norm("out.0", x)))
