"""The training loop: Algorithm 1 of Ho et al. 2020 with Adam and an EMA, on one device or several."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from .atomic_file import SIGNALS
from .batches import Batch, Source, batches
from .checkpoint import Checkpoint, save_checkpoint
from .data import ImageSet, fingerprint
from .diffusion import Diffusion, Model
from .files import make_folder, replace_json
from .labels import Labels
from .loss import Loss
from .recipe import Recipe
from .report import Grid, Report, draw_samples
from .run_owner import owned_run
from .state import STATE_FILE, State, fresh_state, resume_state, save_state


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    steps_before: int
    steps_done: int  # in total, including `steps_before`
    finished: bool  # False: the call was interrupted and saved, and the same call resumes
    drawn: bool = True  # False: a signal interrupted the last grid of samples, which is missing
    signal: int | None = None  # the signal that interrupted the call


def train(
    recipe: Recipe,
    images: ImageSet,
    folder: Path,
    *,
    labels: Labels | None = None,
    workers: int = 0,
    quiet: bool = False,
    cpu: bool = False,
) -> Outcome:
    """Train the model of `recipe` in `folder`, or resume; a model with classes needs `labels` (see `open_labels`).

    `folder` becomes a checkpoint (`ddpm_ref.checkpoint`) of the averaged weights. Beside it are log.csv, tensorboard/,
    samples/, checkpoints/ and the training state. A second call on the same folder resumes, with the losses of a run
    that never stopped; a finished run stays unchanged. Ctrl-C, SIGTERM and SIGHUP save the state first, and skip the
    samples that are due. Under `torchrun` or `accelerate launch` the processes share every batch.

    Raises CheckpointError if the folder has a run of another recipe or other images; OutputError if it cannot be
    written or another process trains in it; ValueError for labels of a model without classes, for a model with classes
    without labels, or for a batch size that the processes cannot share.
    """
    from accelerate import Accelerator

    if (labels is not None) != recipe.model.labelled:
        raise ValueError("a model with classes needs labels; a model without classes takes none")

    # accelerate fixes its mixed precision once per process, but a second run in the process may need another.
    accelerator = Accelerator(mixed_precision="no", cpu=cpu)
    training, first_process = recipe.training, accelerator.is_main_process
    if training.batch_size % accelerator.num_processes:
        raise ValueError(f"{accelerator.num_processes} processes cannot share batch_size {training.batch_size} evenly")
    data = fingerprint(images, labels)  # reads some images first, so that unreadable data leaves no folder
    with owned_run(folder) if first_process else nullcontext():
        source = Source(images, labels, recipe, accelerator.process_index, accelerator.num_processes)
        return _train(source, folder, data, accelerator, workers=workers, quiet=quiet)


def _train(source: Source, folder: Path, data: str, accelerator: Any, *, workers: int, quiet: bool) -> Outcome:
    """`train` in a folder that this process owns."""
    recipe, device = source.recipe, accelerator.device
    training, first_process = recipe.training, accelerator.is_main_process
    resuming = (folder / STATE_FILE).exists()
    state = resume_state(folder, recipe, data, device) if resuming else fresh_state(recipe, device)
    if (first := state.step) >= training.steps:
        accelerator.end_training()
        return Outcome(first, first, finished=True)
    run = Run(recipe, Diffusion(recipe.diffusion.betas, recipe.diffusion.prediction), state, data, accelerator)
    if first_process:
        make_folder(folder)
        replace_json(folder / "recipe.json", recipe.to_dict())
    report = Report(folder, first=first, steps=training.steps, quiet=quiet, enabled=first_process)
    stream = batches(source, first=first, workers=workers)
    with stop_requests() as stop, closing(report):
        drawn = _follow(run, stream, report, stop)
    accelerator.end_training()
    return Outcome(first, state.step, state.step >= training.steps, drawn, stop[0] if stop else None)


def _follow(run: "Run", stream: Iterator[Batch], report: Report, stop: Sequence[int]) -> bool:
    """Train until `stream` ends or `stop` is not empty. Returns False if the last grid of samples is missing."""
    training, state, drawn = run.recipe.training, run.state, True
    for batch in stream:
        started = time.perf_counter()
        loss, rate = run.step(batch)
        seconds = time.perf_counter() - started
        report.step(state.step - 1, loss, rate, training.batch_size / seconds)
        stopping = run.agree(bool(stop))
        if run.rank == 0:
            run.keep(report, last=stopping or state.step == training.steps)
            drawn = run.draw(report, stop)  # a signal that arrives here ends the loop after the next step
        if stopping:
            break
    return drawn


class Run:
    """A training run: its recipe, state and accelerator, with the methods of the loop."""

    def __init__(self, recipe: Recipe, diffusion: Diffusion, state: State, data: str, accelerator: Any) -> None:
        self.recipe, self.diffusion, self.state = recipe, diffusion, state
        self.data, self.accelerator = data, accelerator
        self.model = accelerator.prepare_model(state.unet)
        self.loss = Loss(diffusion, recipe.diffusion.variance, recipe.training.min_snr_gamma)

    def step(self, batch: Batch) -> tuple[float, float]:
        """One step of Algorithm 1. Returns the mean loss over all processes, and the learning rate.

        Raises FloatingPointError when the loss is not finite.
        """
        training, state, device = self.recipe.training, self.state, self.accelerator.device
        rate = training.rate_at(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        # Dropout draws from the global generator. A seed per step lets a resumed run draw the same values.
        torch.manual_seed(training.seed * 1_000_003 + state.step * self.accelerator.num_processes + self.rank)
        x0, noise = (
            image.to(device, memory_format=torch.channels_last, non_blocking=True) for image in (batch.x0, batch.noise)
        )
        state.unet.train()
        state.optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16"):
            loss = self.loss(labelled(self.model, batch.y), x0, batch.t.to(device), noise)
        self.accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(state.unet.parameters(), training.grad_clip)
        state.optimizer.step()
        self._average(training.ema_at(state.step))
        state.step += 1
        value = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        if not value < float("inf"):
            raise FloatingPointError(f"the loss is {value} at step {state.step}; lower the learning rate")
        return value, rate

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        old: list[Tensor] = list(self.state.average.parameters())
        new: list[Tensor] = list(self.state.unet.parameters())
        torch._foreach_lerp_(old, new, 1.0 - decay)

    def agree(self, stop: bool) -> bool:
        """Whether `stop` is true in any process: all processes must leave the loop together."""
        if self.accelerator.num_processes == 1:
            return stop
        flag = torch.tensor(float(stop), device=self.accelerator.device)
        return float(self.accelerator.reduce(flag, reduction="sum")) > 0

    def keep(self, report: Report, *, last: bool) -> None:
        """Save every `checkpoint_every` steps and at the end, and keep a copy every `keep_every` steps."""
        training, step, folder = self.recipe.training, self.state.step, report.folder
        if training.keep_every and step % training.keep_every == 0:
            with report.stage("saving a copy of the model"):
                save_checkpoint(folder / "checkpoints" / f"{step:07d}", self.checkpoint())
        if last or step % training.checkpoint_every == 0:
            with report.stage("saving the model"):
                save_checkpoint(folder, self.checkpoint())
            with report.stage("saving the state"):  # last, so that its step is saved completely
                save_state(folder, self.state, self.recipe, self.data)

    def draw(self, report: Report, stop: Sequence[int]) -> bool:
        """Draw samples every `sample_every` steps and at the end. Returns False if `stop` interrupted the drawing."""
        training, step = self.recipe.training, self.state.step
        if step % training.sample_every and step != training.steps:
            return True
        grid = Grid.of(training.sample_count, self.recipe.model.num_class_embeds)
        shape = (grid.count, *self.recipe.model.image_shape)
        model = labelled(self.state.average, grid.labels, channels=shape[1])
        with report.stage(f"drawing {grid.count} samples"):
            images = draw_samples(model, self.diffusion, shape, self.accelerator.device, stop)
        if images is not None:
            report.samples(step, images, grid.columns)
        return images is not None

    def checkpoint(self) -> Checkpoint:
        """A checkpoint of the averaged weights with their noise schedule."""
        process = self.recipe.diffusion
        clip = (-1.0, 1.0) if process.clip else None
        return Checkpoint(
            self.state.average,
            self.diffusion.betas,
            process.prediction,
            process.variance,
            clip,
            null_class=self.recipe.null_class,
        )


def labelled(model: Callable[..., Tensor], y: Tensor | None, channels: int | None = None) -> Model:
    """`model` with bound labels y int64 `[B]`, or without labels; returns the first `channels`, by default all."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        out = model(x, t) if y is None else model(x, t, y.to(x.device))
        return out[:, :channels]

    return denoise


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list to which SIGINT, SIGTERM and SIGHUP append their numbers, so that the loop can finish its step.

    A second signal raises KeyboardInterrupt. An ignored signal, such as SIGHUP under nohup, stays ignored.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
