"""The initial state of a chain, from files: an image, an image with a mask, or noise."""

from pathlib import Path

from ..artifacts.card import ModelCard
from ..images.read import load_array, load_images, load_mask
from ..requests.edit import Edit
from ..requests.inversion import FromNoise
from ..requests.request import Request, extended


def with_initial_state(
    request: Request,
    card: ModelCard,
    *,
    init_image: Path | None = None,
    init_noise: Path | None = None,
    strength: float | None = None,
    mask: Path | None = None,
    resample: int | None = None,
    count_from_file: bool = False,
) -> Request:
    """`request` with the initial state from the files; without files, `request` itself.

    With `count_from_file`, the number of images or noises in an .npy file sets the number of samples. Raises ValueError
    for options that exclude each other or files that do not match the model, DdpmRtError for unreadable files.
    """
    if init_image is None and (strength, mask, resample) != (None, None, None):
        raise ValueError("--strength, --mask and --resample are options of --init-image")
    if init_image is not None and init_noise is not None:
        raise ValueError("give either --init-image or --init-noise")
    if init_noise is not None:
        noise = load_array(init_noise, card.image_shape)
        return extended(FromNoise, request, noise=noise, **({"count": len(noise)} if count_from_file else {}))
    if init_image is None:
        return request
    images = load_images(init_image, card.image_shape, is_latent=card.latents is not None)
    kept = None if mask is None else load_mask(mask, card.image_shape)
    more = {"count": len(images)} if count_from_file and len(images) > 1 else {}
    share = strength if strength is not None else 0.5 if mask is None else 1.0
    return extended(Edit, request, images=images, mask=kept, strength=share, resample=resample or 1, **more)
