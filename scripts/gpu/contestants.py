"""The contestants of the race: each runs a whole chain, in float16 unless its description says otherwise."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddpm_rt import ModelCard
from ddpm_rt.denoiser import Batch, Times
from ddpm_rt.device.lanes import lanes_of, rows_of
from ddpm_rt.device.layout import Layout
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.request import Request

from .bits import finals
from .models import load_model, torch_with_cuda
from .providers import runtime_with_cuda, session_on_gpu
from .unet import engine_of
from .workbench import Workbench


class Entry(NamedTuple):
    """A contestant. One run warms it up."""

    run: Callable[[int], object]  # takes a seed, and waits for the GPU before it returns
    steps: int
    words: str  # its description
    close: Callable[[], None] = lambda: None


def steps_of(batch: int, quick: bool) -> int:
    """The number of steps for fast contestants: fewer for larger batches."""
    return 100 if quick else 1000 if batch == 1 else 250


FEW = 50  # steps of slow contestants
PLACE, HALF = "cuda", "float16"


def bare(device: Any, model: str, batch: int, quick: bool) -> Entry:
    """The network alone, called once per step of the chain, by replaying a graph of one call."""
    engine, steps = engine_of(model, HALF), steps_of(batch, quick)
    plan = Request(sampler="ddpm", steps=steps).bind(engine.card).sampler
    lanes = lanes_of(0, range(batch), end=steps)
    bench = Workbench(device, engine, Layout(batch, batch), rows_of(plan.table, plan.clip), lanes)
    bench.launch("ddpm_rt_begin")
    bench.network()
    bench.stream.sync()
    graph = bench.graph(bench.network)

    def run(_: int) -> None:
        for _ in range(steps):
            graph.launch(bench.stream)
        bench.stream.sync()

    return Entry(run, steps, "torch, channels last", lambda: bench.__exit__())


def our_loop(device: Any, model: str, batch: int, quick: bool, *, compiled: bool = False) -> Entry:
    """The device loop with the same engine."""
    steps = steps_of(batch, quick)
    loop = DeviceLoop(device, engine_of(model, HALF, compiled=compiled))

    def run(seed: int) -> Batch:
        return finals(loop, Request(sampler="ddpm", steps=steps, count=batch, batch=batch, seed=seed))

    return Entry(run, steps, "torch, channels last, " + ("compiled" if compiled else "captured"), loop.close)


def compiled_loop(device: Any, model: str, batch: int, quick: bool) -> Entry:
    """The device loop with a module from torch.compile, without torch's CUDA graphs: the loop has its own."""
    return our_loop(device, model, batch, quick, compiled=True)


def diffusers_chain(device: Any, model: str, batch: int, quick: bool, *, compiled: bool = False) -> Entry:
    """`DDPMPipeline` called as in its documentation; with `compiled`, its UNet is compiled with CUDA graphs."""
    torch = torch_with_cuda()
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    module, card = load_model(model)
    config = {key: value for key, value in module.config.to_dict().items() if not key.startswith("_")}
    unet = UNet2DModel(**config).eval()
    unet.load_state_dict(module.state_dict())
    unet = unet.to(PLACE, getattr(torch, HALF)).to(memory_format=torch.channels_last)
    if card.classes is not None:  # the pipeline passes no labels
        unet.forward = partial(unet.forward, class_labels=torch.arange(batch, device=PLACE) % card.classes)
    scheduler = DDPMScheduler(trained_betas=np.array(card.betas), prediction_type=PREDICTIONS[card.prediction])
    pipeline = DDPMPipeline(unet, scheduler)
    if compiled:
        pipeline.unet = torch.compile(unet, mode="max-autotune", dynamic=False)
    pipeline.set_progress_bar_config(disable=True)

    def run(seed: int) -> object:
        generator = torch.Generator(PLACE).manual_seed(seed)
        return pipeline(batch_size=batch, num_inference_steps=FEW, generator=generator, output_type="np")

    return Entry(run, FEW, "DDPMPipeline, channels last" + (", max-autotune, CUDA graphs" if compiled else ", eager"))


PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def ort_chain(device: Any, model: str, batch: int, quick: bool) -> Entry:
    """A session of the CUDA provider in float32 (TF32), called with host arrays by the host loop."""
    runtime_with_cuda()  # before the export, which is slow
    with tempfile.TemporaryDirectory() as folder:
        card = load_model(model)[1]
        path = bundled_model() if model == "bundled" else exported(model, Path(folder))
        network = OrtNetwork(session_on_gpu(path), card)

    def run(seed: int) -> object:
        request = Request(sampler="ddpm", steps=FEW, count=batch, batch=batch, seed=seed)
        *_, last = request.bind(network.card).trajectory(network, request.samples)
        return last.x

    return Entry(run, FEW, "arrays of the host, float32 with TF32")


class OrtNetwork:
    """An ONNX Runtime session as an `Engine`."""

    def __init__(self, session: Any, card: ModelCard) -> None:
        self.session, self.card = session, card

    def __call__(self, x: Batch, t: Times, y: Times | None = None, /) -> Batch:
        out: Batch = self.session.run(None, {"x": x, "t": t} if y is None else {"x": x, "t": t, "y": y})[0]
        return out


def exported(model: str, folder: Path) -> Path:
    """The path of the model, exported into `folder` as by `ddpm-rt export`."""
    import onnxscript  # noqa: F401  # torch's exporter needs it, and would fail only later

    from ddpm_export.onnx_export import export_onnx

    module, card = load_model(model)
    export_onnx(module, card, folder / f"{model}.onnx")
    return folder / f"{model}.onnx"
