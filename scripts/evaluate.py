"""How close samples are to the MNIST test set, in the features of a small classifier, as a table.

    python scripts/evaluate.py --data mnist.npz
    python scripts/evaluate.py --data mnist.npz --run ddim:50 --run ddpm:1000 --run dpm++:20:logsnr --json figures.json

The distance is Frechet's between Gaussians fitted to 64 features (as FID, with this classifier in place of Inception,
so it compares only with other figures of this script). Beside it stands the same figure for as many real training
images, drawn several times without overlap: what a perfect model would get.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from closeness import Classes, Confidence, Digits, Distances, Gaussian, Spread, degraded, frechet_distance, nearest
from mnist_classifier import Labels, answers, trained_classifier

import ddpm_rt
from ddpm_rt.images.write import to_pixels

CACHE = Path(tempfile.gettempdir()) / "ddpm-rt"  # of the classifier, which takes a minute to train


@dataclass(frozen=True)
class Mnist:
    """The data set, images uint8 `[N, 28, 28]`."""

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
    """The classifier, and what it thinks of the test set."""

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
        """The distance of `count` training images, over disjoint draws."""
        return Spread.of([self.distance(self.data.draw(count, number)) for number in range(draws)])

    def report(self, images: Digits) -> dict[str, Any]:
        """Everything there is to say about one set of samples."""
        found = answers(self.classifier, images)
        return {
            "distance": frechet_distance(Gaussian.of(found.features), self.reference),
            "confidence": asdict(Confidence.of(found.probabilities)),
            "classes": asdict(Classes.of(found.probabilities.argmax(1), self.shares)),
            "nearest_training_image": asdict(Distances.of(nearest(images, self.data.train_images).distance)),
        }


def draw(run: str, *, engine: Path | None, count: int, seed: int, batch: int) -> tuple[Digits, float]:
    """Samples for `SAMPLER:STEPS` or `SAMPLER:STEPS:SPACING`, as bytes, and the seconds they took."""
    sampler, steps, *spacing = run.split(":")
    options: dict[str, Any] = {"sampler": sampler, "steps": int(steps), "spacing": spacing[0] if spacing else None}
    denoise = ddpm_rt.open_denoiser(engine)
    started = time.perf_counter()
    images = ddpm_rt.sample(denoise, **options, count=count, seed=seed, batch=batch)
    return to_pixels(images)[..., 0], time.perf_counter() - started


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="MNIST as an .npz.")
@click.option("--engine", type=click.Path(exists=True, path_type=Path), help="[default: the bundled model]")
@click.option("--run", "runs", multiple=True, default=["ddim:50"], show_default=True, help="SAMPLER:STEPS[:SPACING].")
@click.option("--count", type=click.IntRange(min=65), default=512, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--scale", is_flag=True, help="Also what worse versions of real images get.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    data: Path,
    engine: Path | None,
    runs: tuple[str, ...],
    count: int,
    seed: int,
    batch: int,
    scale: bool,
    json_path: Path | None,
) -> None:
    """Measure samples against the MNIST test set."""
    judge = Judge(Mnist.load(data))
    real = judge.real(count)
    click.echo(f"classifier {judge.name}, {judge.accuracy:.2%} right on the test set; {count} images a row\n")
    click.echo(f"{'images':<36} {'distance':>9} {'sure':>7} {'fewest':>7} {'most':>7} {'nearest':>8} {'seconds':>8}")
    name = f"real training images, {real.draws} draws"
    click.echo(f"{name:<36} {real.mean:9.2f} +- {real.deviation:.2f}")
    if scale:
        for name, worse in degraded(judge.data.draw(count, 0)):
            click.echo(f"{name:<36} {judge.distance(worse):9.2f}")
    results: dict[str, Any] = {"count": count, "seed": seed, "accuracy": judge.accuracy, "real": asdict(real)}
    for run in runs:
        images, seconds = draw(run, engine=engine, count=count, seed=seed, batch=batch)
        found = judge.report(images)
        results[run] = {**found, "seconds": seconds}
        sure, classes = found["confidence"]["mean"], found["classes"]
        close = found["nearest_training_image"]["median"]
        click.echo(
            f"{run:<36} {found['distance']:9.2f} {sure:7.1%} {classes['smallest']:7.1%} {classes['largest']:7.1%} "
            f"{close:8.2f} {seconds:8.1f}"
        )
        click.echo(f"{'':<36} digits 0-9: {' '.join(map(str, classes['counts']))}")
    if json_path:
        json_path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
