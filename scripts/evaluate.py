"""Measure how close samples are to the MNIST test set, in the features of a small classifier. Prints a table.

    python scripts/evaluate.py --data mnist.npz
    python scripts/evaluate.py --data mnist.npz --run ddim:50 --run ddpm:1000 --run dpm++:20:logsnr --json figures.json
    python scripts/evaluate.py --data mnist.npz runs/mnist/checkpoints/* runs/mnist
    python scripts/evaluate.py --data mnist.npz --export-features mnist-features.onnx --run ddim:50

The distance is the Frechet distance between Gaussians fitted to 64 features: FID with this classifier in place of
Inception, comparable only with other figures of this script. `ddpm-rt evaluate --features` takes the file that
`--export-features` writes. A model with classes draws all classes in equal shares.

| Column | Meaning |
| --- | --- |
| distance | Frechet distance to the test set |
| sure | share of the images to whose class the classifier gives a probability above 0.9 |
| right | share of the images that the classifier assigns to their label |
| fewest, most | shares of the rarest and the most frequent class |
| nearest, 1 % | L2 distance of pixels in [0, 1] to the nearest training image: the median, and the first percentile |

The rows of real images are the figures of a perfect model. The distance is that of training images, over several draws
without overlap; the other columns are those of test images. Several engines or checkpoints of a run give a curve.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from closeness import Classes, Confidence, Digits, Distances, Spread, degraded, nearest
from mnist_classifier import Labels, answers, export_features, trained_classifier

import ddpm_rt
from ddpm_rt.engine import Engine
from ddpm_rt.evaluate.gaussian import Gaussian, frechet_distance
from ddpm_rt.images.write import to_pixels

CACHE = Path(tempfile.gettempdir()) / "ddpm-rt"  # the folder of the classifier, which takes a minute to train


@dataclass(frozen=True)
class Mnist:
    """The MNIST data set; images are uint8 `[N, 28, 28]`."""

    train_images: Digits
    train_labels: Labels
    test_images: Digits
    test_labels: Labels

    @classmethod
    def load(cls, path: Path) -> "Mnist":
        with np.load(path) as file:
            arrays = {name: file[name] for name in ("train_images", "train_labels", "test_images", "test_labels")}
        return cls(**{name: a[..., 0] if a.ndim == 4 else a.astype(np.int64) for name, a in arrays.items()})

    def draw(self, count: int, number: int) -> Digits:
        """`count` training images, in any order: the file has them sorted by class. Draws do not overlap."""
        order = np.random.default_rng(0).permutation(len(self.train_images))
        return self.train_images[order[number * count : (number + 1) * count]]


class Judge:
    """The classifier, with its features and predictions for the test set."""

    def __init__(self, data: Mnist) -> None:
        self.data = data
        self.classifier, self.name = trained_classifier(data.train_images, data.train_labels, cache=CACHE)
        test = answers(self.classifier, data.test_images)
        self.accuracy = float((test.probabilities.argmax(1) == data.test_labels).mean())
        self.reference = Gaussian.of(test.features)
        self.shares = np.bincount(data.test_labels, minlength=10) / len(data.test_labels)

    def distance(self, images: Digits) -> float:
        return frechet_distance(Gaussian.of(answers(self.classifier, images).features), self.reference)

    def real(self, count: int, draws: int = 20) -> Spread:
        """The distance of `count` training images to the test set, over disjoint draws."""
        return Spread.of([self.distance(self.data.draw(count, number)) for number in range(draws)])

    def report(self, images: Digits, labels: Labels | None) -> dict[str, Any]:
        """All figures of one set of images; `labels` `[N]` are the classes that they should show, if known."""
        found = answers(self.classifier, images)
        decided = found.probabilities.argmax(1)
        return {
            "distance": frechet_distance(Gaussian.of(found.features), self.reference),
            "confidence": asdict(Confidence.of(found.probabilities)),
            "right": None if labels is None else float((decided == labels).mean()),
            "classes": asdict(Classes.of(decided, self.shares)),
            "nearest_training_image": asdict(Distances.of(nearest(images, self.data.train_images).distance)),
        }

    def test_report(self, count: int) -> dict[str, Any]:
        """All figures of `count` test images, chosen at random."""
        chosen = np.random.default_rng(0).permutation(len(self.data.test_images))[:count]
        return self.report(self.data.test_images[chosen], self.data.test_labels[chosen])


@dataclass(frozen=True)
class Drawing:
    """The settings of a drawing: number of samples, seed, batch size and guidance."""

    count: int
    seed: int
    batch: int
    guidance: float
    null_class: bool = False  # ask for no class instead of every class

    def labels(self, card: ddpm_rt.ModelCard) -> list[int] | None:
        """The classes that samples get in turn: all but the null class; None for a model without classes."""
        if card.classes is None:
            return None
        if self.null_class and card.null_class is not None:
            return [card.null_class]
        return [label for label in range(card.classes) if label != card.null_class]

    def draw(self, run: str, engine: Engine) -> tuple[Digits, Labels | None, float]:
        """Samples for `SAMPLER:STEPS` or `SAMPLER:STEPS:SPACING` as bytes, their labels, and the time in seconds."""
        sampler, steps, *spacing = run.split(":")
        options: dict[str, Any] = {"sampler": sampler, "steps": int(steps), "spacing": spacing[0] if spacing else None}
        labels = self.labels(engine.card)
        if labels is not None:
            options |= {"label": labels, "guidance": self.guidance}
        started = time.perf_counter()
        images = ddpm_rt.sample(engine, **options, count=self.count, seed=self.seed, batch=self.batch)
        seconds = time.perf_counter() - started
        asked = None if labels in (None, [engine.card.null_class]) else np.resize(np.array(labels), self.count)
        return to_pixels(images)[..., 0], asked, seconds


@contextmanager
def opened(path: Path | None) -> Iterator[Engine]:
    """An engine for an ONNX file, a plan, or a checkpoint directory, which is exported to a temporary file."""
    with tempfile.TemporaryDirectory() as folder:
        if path is not None and path.is_dir():
            from ddpm_export.onnx_export import export_onnx
            from ddpm_export.sources import open_source
            from ddpm_export.sources.checkpoint_card import card_of

            source = open_source(path)
            path = Path(folder) / "unet.onnx"
            export_onnx(source.module, card_of(source, path), path)
        with ddpm_rt.open_denoiser(path) as engine:
            yield engine


HEADER = (
    f"{'images':<36} {'distance':>9} {'sure':>7} {'right':>7} {'fewest':>7} {'most':>7} {'nearest':>8} {'1 %':>6} "
    f"{'seconds':>8}"
)


def row(name: str, found: dict[str, Any], seconds: float | None = None) -> str:
    """A line of the table."""
    classes, near = found["classes"], found["nearest_training_image"]
    right = "" if found["right"] is None else f"{found['right']:.1%}"
    return (
        f"{name:<36} {found['distance']:9.2f} {1 - found['confidence']['below_90']:7.1%} {right:>7} "
        f"{classes['smallest']:7.1%} {classes['largest']:7.1%} {near['median']:8.2f} {near['percent_1']:6.2f} "
        f"{'' if seconds is None else f'{seconds:8.1f}'}"
    ).rstrip()


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="MNIST as an .npz.")
@click.argument("engines", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--run", "runs", multiple=True, default=["ddim:50"], show_default=True, help="SAMPLER:STEPS[:SPACING].")
@click.option("--count", type=click.IntRange(min=65), default=512, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--guidance", default=1.0, show_default=True, help="For models with classes.")
@click.option("--null-class", is_flag=True, help="Ask for the null class instead of every class in turn.")
@click.option("--scale", is_flag=True, help="Also measure degraded real images.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--export-features", "features", type=click.Path(path_type=Path), help="Write the classifier as ONNX.")
def main(
    data: Path,
    engines: tuple[Path, ...],
    runs: tuple[str, ...],
    count: int,
    seed: int,
    batch: int,
    guidance: float,
    null_class: bool,
    scale: bool,
    json_path: Path | None,
    features: Path | None,
) -> None:
    """Measure samples against the MNIST test set.

    ENGINES are ONNX files, plans or checkpoint directories; without any, the bundled model is measured.
    """
    judge, drawing = Judge(Mnist.load(data)), Drawing(count, seed, batch, guidance, null_class)
    if features is not None:
        export_features(judge.classifier, features)
    real, test = judge.real(count), judge.test_report(count)
    click.echo(f"classifier {judge.name}, {judge.accuracy:.2%} right on the test set; {count} images a row\n\n{HEADER}")
    click.echo(f"{f'real training images, {real.draws} draws':<36} {real.mean:9.2f} +- {real.deviation:.2f}")
    click.echo(row("real test images", test))
    if scale:
        for name, worse in degraded(judge.data.draw(count, 0)):
            click.echo(f"{name:<36} {judge.distance(worse):9.2f}")
    results: dict[str, Any] = {**asdict(drawing), "accuracy": judge.accuracy, "real": asdict(real), "test": test}
    for path in engines or (None,):
        with opened(path) as engine:
            for run in runs:
                images, labels, seconds = drawing.draw(run, engine)
                found = judge.report(images, labels)
                name = run if path is None else f"{path.name} {run}"
                results[name] = {**found, "seconds": seconds}
                click.echo(row(name, found, seconds))
                click.echo(f"{'':<36} digits 0-9: {' '.join(map(str, found['classes']['counts']))}")
    if json_path:
        json_path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
