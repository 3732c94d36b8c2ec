"""`ddpm-rt train`. Only click is imported at the top, so that listing the verbs does not import torch."""

import signal
from pathlib import Path

import click

SIGNALLED = 128  # plus the signal's number: the exit code of a command that a signal ended
ANY_MESSAGE = 1000  # most characters of a message


@click.command()
@click.option("--data", required=True, metavar="PATH", help="An .npz, a folder or zip of images, or a hub data set.")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    help="Checkpoint directory. An existing run resumes.",
)
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Recipe, a TOML file.")
@click.option("--preset", metavar="NAME", help="Built-in recipe: mnist, cifar10, lsun256.")
@click.option("--steps", type=click.IntRange(1, 10**9), help="Training steps, instead of the recipe's.")
@click.option("--cooldown-steps", type=click.IntRange(0, 10**9), help="Last steps, instead of the recipe's.")
@click.option("--batch-size", type=click.IntRange(1, 65_535), help="Over all processes, instead of the recipe's.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Of matrix products, instead of the recipe's.")
@click.option("--seed", type=click.IntRange(min=0, max=2**31 - 1), help="Seed of the run, instead of the recipe's.")
@click.option(
    "--fit",
    type=click.Choice(["exact", "crop"]),
    default="exact",
    show_default=True,
    help="For images of another size: refuse them, or scale and crop.",
)
@click.option(
    "--workers", type=click.IntRange(0, 1024), default=0, show_default=True, help="Processes that decode images."
)
@click.option("--cpu", is_flag=True, help="Use the CPU even if there is a GPU.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def train(
    data: str,
    out: Path,
    config: Path | None,
    preset: str | None,
    steps: int | None,
    cooldown_steps: int | None,
    batch_size: int | None,
    precision: str | None,
    seed: int | None,
    fit: str,
    workers: int,
    cpu: bool,
    quiet: bool,
) -> None:
    """Train a UNet on images. The same command resumes an interrupted run.

    \b
    ddpm-rt train --preset mnist --data mnist.npz --out runs/mnist
    torchrun --nproc-per-node 8 -m ddpm_ref --preset cifar10 --data cifar10/ --out runs/cifar10
    """
    if (config is None) == (preset is None):
        raise click.UsageError("give either --config or --preset")
    if _overlap(Path(data), out):
        raise click.UsageError(f"--out {out} and --data {data} overlap; use another --out")
    from . import recipe as recipes
    from .data import open_images
    from .labels import open_labels
    from .text import one_line, printable
    from .trainer import train as run

    try:
        chosen = recipes.load_recipe(config) if config else recipes.load_preset(str(preset))
        chosen = chosen.with_training(
            steps=steps, cooldown_steps=cooldown_steps, batch_size=batch_size, precision=precision, seed=seed
        )
        channels, height, width = chosen.model.image_shape
        images = open_images(data, (height, width, channels), fit=fit)  # type: ignore[arg-type]
        labels = None if chosen.classes is None else open_labels(data, images, chosen.classes)
        outcome = run(chosen, images, out, labels=labels, workers=workers, quiet=quiet, cpu=cpu)
    except (ValueError, FloatingPointError, OSError) as error:
        raise click.ClickException(one_line(_sentence(error), ANY_MESSAGE)) from error
    except (RuntimeError, MemoryError) as error:
        if "alloc" not in str(error) and not isinstance(error, MemoryError):
            raise
        raise click.ClickException("not enough memory for this network and batch; make them smaller") from error
    done, shown = outcome.steps_done, printable(str(out))
    code = SIGNALLED + (outcome.signal or signal.SIGINT)
    if not outcome.finished:
        click.echo(f"stopped after {done} steps, all saved; the same command resumes", err=True)
        raise SystemExit(code)
    if not outcome.drawn:
        click.echo(f"{shown}: trained for {done} steps, all saved; only the last picture is missing", err=True)
        raise SystemExit(code)
    if outcome.steps_before == done:
        click.echo(f"{shown} already has {done} steps; nothing was done")
        return
    click.echo(f"{shown}: trained for {done} steps on {len(images)} images")


def _overlap(data: Path, out: Path) -> bool:
    """Whether one of the folders contains the other, or both are the same: sample grids would become training data."""
    if not data.is_dir():
        return False
    images, made = data.resolve(), out.resolve()
    return images.is_relative_to(made) or made.is_relative_to(images)


def _sentence(error: Exception) -> str:
    """The message of an exception, without the error number that Python puts before a system error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
