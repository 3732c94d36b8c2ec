"""Part int8: the bundled model quantised for TensorRT, run by ONNX Runtime's CUDA provider and by TensorRT."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.sampler_options import SamplerOptions

from .check import Ask, Check, Outcome, attempt, noted
from .providers import FLAVOURS, chain_of, plan_outcome, runtime_with_cuda

TOLERANCE = (
    5e-2  # of x at any step: a value at the edge of two integers may be rounded to either, and a chain carries it on
)
CALIBRATION_STEPS, SAMPLES = 10, 4


def quantised(folder: Path) -> tuple[Path, Outcome]:
    """The bundled model for TensorRT, and how far the CPU's chains are from the float model's."""
    from ddpm_export.quantize import Quantization, quantize

    path, sampler = folder / "int8.onnx", SamplerOptions(steps=CALIBRATION_STEPS)
    compiled = sampler.compile(read_onnx_card(bundled_model()))
    asked = Quantization(target="tensorrt", calibrate=SAMPLES, compare=SAMPLES, sampler=compiled)
    done = quantize(bundled_model(), path, asked)
    text = f"{done.quantised} of {len(done.table)} layers int8, chain PSNR {done.chain_psnr:.1f} dB"
    return path, noted(text, psnr=done.chain_psnr, layers=done.quantised)


def checks(ask: Ask) -> Iterator[Check]:
    """Quantise on the CPU, then run every provider that is there. One without int8 kernels must agree all the same."""
    with tempfile.TemporaryDirectory() as folder:
        made: list[Path] = []

        def make() -> Outcome:
            path, outcome = quantised(Path(folder))
            made.append(path)
            return outcome

        yield attempt("the bundled model is quantised for TensorRT", make)
        if not made:
            return

        def in_onnx_runtime() -> Outcome:
            runtime_with_cuda()
            from ddpm_rt.engines.ort_gpu import OrtDeviceEngine

            engine = OrtDeviceEngine(made[0], "cuda", ask.device)
            return chain_of(ask.device, engine, 20 if ask.quick else 50, TOLERANCE, made[0])

        yield attempt("ONNX Runtime's CUDA provider: every step is that of its CPU provider", in_onnx_runtime)
        for module, flavour in FLAVOURS.items():
            words = f"{module}: an int8 plan of the bundled model is built here and runs"
            yield attempt(words, lambda module=module, flavour=flavour: plan_outcome(
                ask, module, flavour, made[0], TOLERANCE))  # fmt: skip
