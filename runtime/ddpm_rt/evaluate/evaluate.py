"""The figures of an engine with a table against a data set, and the same of real images: the floor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch
from ..engine import Engine, Watch
from ..images.write import to_pixels
from ..requests.request import BoundRequest, Request
from .features import Features
from .gaussian import Gaussian, distance_from, square_root
from .kernel_distance import KernelDistance
from .manifolds import on_manifolds
from .real_images import RealImages

READ = 256  # real images at a time
WIDTH = 1.96  # standard errors on either side of a figure: 95 % of a normal distribution

Floats = NDArray[np.float64]
Progress = Callable[[], object]  # after each call of the network


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How much is compared. Raises ValueError for values out of range."""

    resamples: int = 100  # of the bootstrap
    pairwise: int = 2_000  # images of each set whose pairs are compared: kernel distance, precision, recall
    most_real: int = 50_000  # images of the data set
    seed: int = 0  # of the choice of real images, and of the bootstrap

    def __post_init__(self) -> None:
        if self.resamples < 2 or self.pairwise < 8 or self.most_real < 16:
            raise ValueError("at least 2 resamples, 8 images for pairs and 16 real images are needed")


class Figure(NamedTuple):
    """A figure, and half of its interval of 95 % by the bootstrap over the images that are judged."""

    value: float
    margin: float


class Figures(NamedTuple):
    """What is measured of a set of images against the reference."""

    frechet: Figure
    kernel: Figure
    precision: Figure
    recall: Figure


@dataclass(frozen=True)
class Evaluation:
    """The figures of generated images, and those of as many real images against the same reference."""

    generated: Figures
    floor: Figures
    count: int  # generated images
    floor_count: int  # real images that are judged in their place; less where the data set is small
    reference_count: int  # real images that both are compared with
    features: int  # their number


def evaluate(
    engine: Engine, request: Request, real: RealImages, features: Features, how: Resampling,
    progress: Progress = lambda: None,
) -> Evaluation:  # fmt: skip
    """Draw the request and compare its images with those of a data set.

    The data set is split at random: as many images as are drawn, or half of it if that is fewer, stand in for the
    generated ones, and the rest is the reference of both. Raises ValueError for what the model does not allow and for
    too few images, DdpmRtError for files and outputs that cannot be used.
    """
    bound = request.bind(engine.card).for_engine(engine)
    if bound.request.count < 8 or len(real) < 16:
        raise ValueError(f"8 samples and 16 real images are needed, not {bound.request.count} and {len(real)}")
    order = np.random.default_rng(how.seed).permutation(len(real))[: how.most_real].tolist()
    held = min(bound.request.count, len(order) // 2)
    judged, reference = (features_of_real(real, part, features) for part in (order[:held], order[held:]))
    drawn = features_of_drawn(engine, bound, features, progress)
    against = Reference(reference, how)
    return Evaluation(
        against.figures(drawn), against.figures(judged), len(drawn), len(judged), len(reference), reference.shape[1]
    )


def features_of_real(real: RealImages, numbers: Sequence[int], features: Features) -> Floats:
    """The features of real images, float64 `[len(numbers), D]`."""
    parts = []
    for first in range(0, len(numbers), READ):
        parts.append(features(real.read(numbers[first : first + READ])))
    return np.concatenate(parts)


def features_of_drawn(engine: Engine, bound: BoundRequest, features: Features, progress: Progress) -> Floats:
    """The features of the images of a request, as bytes: what a PNG holds. Float64 `[count, D]`."""
    parts: list[Floats] = []

    def keep(images: Batch) -> None:
        parts.append(features(to_pixels(images)))

    with np.errstate(over="ignore", invalid="ignore"):  # an image that is not finite is an error of its own
        for _, images in bound.finals(engine, bound.request.samples, Watch(progress)):
            keep(images)
    return np.concatenate(parts)


class Reference:
    """The features of the real images that others are compared with."""

    def __init__(self, features: Floats, how: Resampling) -> None:
        self.features, self.how = features, how
        self.gaussian = Gaussian.of(features)
        self.root = square_root(self.gaussian.covariance)

    def figures(self, features: Floats) -> Figures:
        """All figures of a set of features `[N, D]`.

        The kernel distance, precision and recall are of the first `pairwise` images of both sets, in equal numbers
        for precision and recall. A margin is that of the images which are judged; the reference is taken as given.
        """
        generator = np.random.default_rng(self.how.seed)
        few, their = features[: self.how.pairwise], self.features[: self.how.pairwise]
        same = min(len(few), len(their))
        kernel = KernelDistance(few, their)
        shares = on_manifolds(few[:same], their[:same])
        frechet, kernels = [], []
        for _ in range(self.how.resamples):
            drawn = features[generator.integers(0, len(features), len(features))]
            frechet.append(distance_from(self.root, self.gaussian, Gaussian.of(drawn)))
            counts = np.bincount(generator.integers(0, len(few), len(few)), minlength=len(few))
            kernels.append(kernel.of(counts))
        return Figures(
            Figure(distance_from(self.root, self.gaussian, Gaussian.of(features)), margin(frechet)),
            Figure(kernel.of(), margin(kernels)),
            share(shares.generated),
            share(shares.real),
        )


def margin(resampled: Sequence[float]) -> float:
    """Half of the interval of a figure, from its values on resampled images."""
    return WIDTH * float(np.std(resampled, ddof=1))


def share(members: NDArray[np.bool_]) -> Figure:
    """The share of images that are on a manifold, with the margin of a share."""
    value = float(members.mean())
    return Figure(value, WIDTH * float(np.sqrt(value * (1.0 - value) / len(members))))
