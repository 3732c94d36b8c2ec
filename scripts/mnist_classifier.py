"""A small classifier of MNIST digits. Its last hidden layer gives the features for `evaluate.py`."""

import hashlib
import inspect
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm_rt.artifacts.atomic_write import replace_file

Digits = NDArray[np.uint8]  # [N, 28, 28], 0 is background
Labels = NDArray[np.int64]  # [N]

FEATURES = 64


@dataclass(frozen=True)
class Recipe:
    """The training settings of the classifier. One thread and one seed make the training repeatable on a machine."""

    seed: int = 0
    epochs: int = 5
    batch: int = 128
    peak_rate: float = 3e-3  # Adam, one cycle
    shift: int = 2  # largest shift in pixels, in either direction: generated digits need not be centred


class Answers(NamedTuple):
    """The features and class probabilities of N images."""

    features: NDArray[np.float64]  # [N, 64], of the last hidden layer
    probabilities: NDArray[np.float64]  # [N, 10]


class Classifier(nn.Module):
    """Two convolutions, one hidden layer of 64, ten classes: 0.13 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, FEATURES), nn.ReLU()),
        )
        self.head = nn.Linear(FEATURES, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """float32 `[N, 1, 28, 28]` in [-1, 1] to features `[N, 64]` and logits `[N, 10]`."""
        features = self.body(images)
        return features, self.head(features)


def trained_classifier(
    images: Digits, labels: Labels, *, cache: Path, recipe: Recipe | None = None
) -> tuple[Classifier, str]:
    """The classifier for these training images, from `cache` or newly trained, and the name of its recipe.

    The name is a hash of everything that decides the weights: recipe, code, data, PyTorch's version.
    """
    recipe = recipe or Recipe()
    name = _fingerprint(recipe, images, labels)
    path = cache / f"mnist-classifier-{name}.pt"
    classifier = Classifier()
    if path.exists():
        classifier.load_state_dict(torch.load(path, weights_only=True))
    else:
        print(f"training the classifier once ({recipe.epochs} epochs), to {path}", file=sys.stderr)
        classifier = train(images, labels, recipe)
        cache.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: torch.save(classifier.state_dict(), file))
    return classifier.eval(), name


def train(images: Digits, labels: Labels, recipe: Recipe) -> Classifier:
    """Train on one thread; the same arguments give the same weights. Progress goes to stderr."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with several threads, the order of sums may vary
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        classifier = Classifier()
        try:
            _fit(classifier, to_tensor(images), torch.from_numpy(labels.astype(np.int64)), recipe)
        finally:
            torch.set_num_threads(threads)
    return classifier


def _fit(classifier: Classifier, x: Tensor, y: Tensor, recipe: Recipe) -> None:
    optimiser = torch.optim.Adam(classifier.parameters(), lr=recipe.peak_rate)
    batches = -(-len(x) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_rate, epochs=recipe.epochs, steps_per_epoch=batches
    )
    for epoch in range(recipe.epochs):
        total = 0.0
        for chosen in torch.randperm(len(x)).split(recipe.batch):
            offset = torch.randint(-recipe.shift, recipe.shift + 1, (2,)).tolist()
            moved = torch.roll(x[chosen], offset, dims=(2, 3))  # the margin is empty, so no pixel wraps around
            loss = nn.functional.cross_entropy(classifier(moved)[1], y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / len(x):.4f}", file=sys.stderr)


@torch.no_grad()
def answers(classifier: Classifier, images: Digits, *, batch: int = 1000) -> Answers:
    """The features and probabilities of images uint8 `[N, 28, 28]`."""
    parts = [classifier(part) for part in to_tensor(images).split(batch)]
    features = torch.cat([feature for feature, _ in parts]).double().numpy()
    probabilities = torch.cat([logits for _, logits in parts]).double().softmax(1).numpy()
    return Answers(features, probabilities)


def export_features(classifier: Classifier, path: Path) -> None:
    """Write the network up to its last hidden layer as ONNX, a feature network for `ddpm-rt evaluate --features`.

    Its input are images float32 `[batch, 1, 28, 28]` in [-1, 1], its output features `[batch, 64]`.
    """
    from ddpm_export.onnx_export import quiet

    batch = torch.export.Dim("batch")
    with quiet():
        program = torch.onnx.export(
            classifier.body, (torch.zeros(2, 1, 28, 28),), dynamo=True, input_names=["images"], verbose=False,
            output_names=["features"], dynamic_shapes=({0: batch},),
        )  # fmt: skip
    assert program is not None  # with dynamo=True it is a program
    replace_file(path, lambda file: file.write_bytes(program.model_proto.SerializeToString()))


def to_tensor(images: Digits) -> Tensor:
    """uint8 `[N, 28, 28]` to float32 `[N, 1, 28, 28]` in [-1, 1]."""
    return torch.from_numpy(images[:, None].astype(np.float32) / np.float32(127.5) - np.float32(1))


def _fingerprint(recipe: Recipe, images: Digits, labels: Labels) -> str:
    digest = hashlib.sha256(json.dumps([asdict(recipe), torch.__version__]).encode())
    for code in (Classifier, train, _fit, to_tensor):
        digest.update(inspect.getsource(code).encode())
    digest.update(np.ascontiguousarray(images).tobytes() + labels.astype(np.int64).tobytes())
    return digest.hexdigest()[:12]
