"""Images in the formats that a response has."""

import base64
import io
import zipfile
from collections.abc import Iterable

import numpy as np

from ..denoiser import Batch
from ..images.write import encode_png, to_pixels
from .client_request import ClientRequest

MEDIA_TYPES = {
    "png": "image/png",
    "npy": "application/octet-stream",
    "json": "application/json",
    "zip": "application/zip",
}
EPOCH = (1980, 1, 1, 0, 0, 0)  # of a file in a zip: equal requests give equal archives


def check_picture(asked: ClientRequest) -> None:
    """Raises ValueError where the images cannot be shown."""
    card = asked.model.engine.card
    if not card.is_picture:
        raise ValueError(f"the model draws {list(card.image_shape)}, which is no picture; ask for npy")


def png_of(asked: ClientRequest, sample: int, image: Batch) -> bytes:
    """A sample, float32 `[C, H, W]`, as the PNG that `ddpm-rt sample` writes into a folder."""
    return encode_png(to_pixels(image[None])[0], asked.text_of(sample))


def preview_of(image: Batch) -> bytes:
    """A predicted image, float32 `[C, H, W]`, as a PNG without text."""
    return encode_png(to_pixels(image[None])[0], {})


def npy_of(images: Batch) -> bytes:
    content = io.BytesIO()
    np.save(content, images, allow_pickle=False)
    return content.getvalue()


def zip_of(asked: ClientRequest, images: Iterable[Batch]) -> bytes:
    """A PNG for each sample, stored, under the names of a folder of `ddpm-rt sample`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for sample, image in zip(asked.samples, images, strict=True):
            archive.writestr(zipfile.ZipInfo(f"{sample:06d}.png", EPOCH), png_of(asked, sample, image))
    return content.getvalue()


def facts_of(asked: ClientRequest, sample: int, image: Batch) -> dict[str, str | int | None]:
    """A sample as JSON. Seed and sample are strings, because JavaScript rounds numbers from 2^53 up."""
    kind = "png" if asked.model.engine.card.is_picture else "npy"
    content = png_of(asked, sample, image) if kind == "png" else npy_of(image)
    return {
        "seed": str(asked.bound.seed),
        "sample": str(sample),
        "label": asked.label_of(sample),
        "url": asked.url(sample, kind) if asked.has_url else None,
        "command": asked.command(sample) if asked.has_url else None,
        kind: base64.b64encode(content).decode(),
    }
