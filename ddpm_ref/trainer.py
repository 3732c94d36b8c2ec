"""The training loop: Algorithm 1 of Ho et al. 2020, with their optimiser settings, on one device or several."""

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
    steps_done: int  # those before included
    finished: bool  # False: it was interrupted, saved, and the same call goes on
    drawn: bool = True  # False: it was interrupted at its last picture, which is missing
    signal: int | None = None  # that it was interrupted by


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
    """Train, or go on training, the model of `recipe` in `folder`; `labels` (`open_labels`) if it has classes.

    `folder` becomes a checkpoint (`ddpm_ref.checkpoint`) of the averaged weights, with log.csv, tensorboard/,
    samples/, checkpoints/ and the state for resuming beside it. Started again on the same folder it continues, with
    the same losses as if it had never stopped; a run that has had its steps is left as it is. Ctrl-C, SIGTERM and
    SIGHUP save first, and leave a picture undrawn. Under `torchrun` or `accelerate launch` the processes share each
    batch. Raises CheckpointError if the folder holds a run of another recipe or other images, OutputError if it cannot
    be written or another process trains in it, ValueError for labels of a model without classes, or none of one with
    classes.
    """
    from accelerate import Accelerator

    if (labels is not None) != recipe.model.labelled:
        raise ValueError("labels must be given if the recipe's model has classes, and only then")

    # Its own mixed precision is settled once a process; a second run in the process may want another.
    accelerator = Accelerator(mixed_precision="no", cpu=cpu)
    training, first_process = recipe.training, accelerator.is_main_process
    if training.batch_size % accelerator.num_processes:
        raise ValueError(f"batch_size {training.batch_size} cannot be shared by {accelerator.num_processes} processes")
    data = fingerprint(images, labels)  # reads some, so that a set which cannot be read leaves no folder
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
    """Do the steps that there are, or those until there is something in `stop`. False: the last picture is missing."""
    training, state, drawn = run.recipe.training, run.state, True
    for batch in stream:
        started = time.perf_counter()
        loss, rate = run.step(batch)
        seconds = time.perf_counter() - started
        report.step(state.step - 1, loss, rate, training.batch_size / seconds)
        stopping = run.agree(bool(stop))
        if run.rank == 0:
            run.keep(report.folder, last=stopping or state.step == training.steps)
            drawn = run.draw(report, stop)  # a stop that is heard here ends the loop after its next step
        if stopping:
            break
    return drawn


class Run:
    """A training run under way: one method is one step, another keeps what there is."""

    def __init__(self, recipe: Recipe, diffusion: Diffusion, state: State, data: str, accelerator: Any) -> None:
        self.recipe, self.diffusion, self.state = recipe, diffusion, state
        self.data, self.accelerator = data, accelerator
        self.model = accelerator.prepare_model(state.unet)
        self.loss = Loss(diffusion, recipe.diffusion.variance, recipe.training.min_snr_gamma)

    def step(self, batch: Batch) -> tuple[float, float]:
        """One step of Algorithm 1. Returns the loss over all processes, and the learning rate."""
        training, state, device = self.recipe.training, self.state, self.accelerator.device
        rate = training.rate_at(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        # Dropout draws from the global generator: seeding it by the step makes a resumed run draw the same.
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
        """True in all processes if it is in one: they must leave the loop together."""
        if self.accelerator.num_processes == 1:
            return stop
        flag = torch.tensor(float(stop), device=self.accelerator.device)
        return float(self.accelerator.reduce(flag, reduction="sum")) > 0

    def keep(self, folder: Path, *, last: bool) -> None:
        """Save when it is time, or at the end; keep a copy when it is time for that."""
        training, step = self.recipe.training, self.state.step
        if training.keep_every and step % training.keep_every == 0:
            save_checkpoint(folder / "checkpoints" / f"{step:07d}", self.checkpoint())
        if last or step % training.checkpoint_every == 0:
            save_checkpoint(folder, self.checkpoint())
            save_state(folder, self.state, self.recipe, self.data)  # last: a step that it has is saved altogether

    def draw(self, report: Report, stop: Sequence[int]) -> bool:
        """Draw when it is time, or at the end. False: there was something in `stop`, and nothing is drawn."""
        training, step = self.recipe.training, self.state.step
        if step % training.sample_every and step != training.steps:
            return True
        grid = Grid.of(training.sample_count, self.recipe.model.num_class_embeds)
        shape = (grid.count, *self.recipe.model.image_shape)
        model = labelled(self.state.average, grid.labels, channels=shape[1])
        images = draw_samples(model, self.diffusion, shape, self.accelerator.device, stop)
        if images is not None:
            report.samples(step, images, grid.columns)
        return images is not None

    def checkpoint(self) -> Checkpoint:
        """The averaged weights with their schedule."""
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
    """`model` with the labels y int64 `[B]`, or none; of its output the first `channels`, or all."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        out = model(x, t) if y is None else model(x, t, y.to(x.device))
        return out[:, :channels]

    return denoise


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that SIGINT, SIGTERM and SIGHUP append to, so that the loop can finish its step.

    A second one stops at once. One that is ignored, as under nohup, stays ignored.
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
