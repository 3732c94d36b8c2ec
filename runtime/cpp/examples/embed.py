"""Writes one image as a PGM or PPM to the standard output, through the C interface, with ctypes alone:

DDPM_RT_LIBRARY=PREFIX/lib/libddpm_rt.so.0 python embed.py MODEL [STEPS] > image.pgm
"""

import ctypes
import os
import sys


class Info(ctypes.Structure):
    """The beginning of ddpm_rt_info. The library fills as much of a struct as `struct_size` says."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("struct_size", "channels", "height", "width")]


class SampleOptions(ctypes.Structure):
    """The beginning of ddpm_rt_sample_options. The fields that are missing here keep their defaults."""

    _fields_ = [("struct_size", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64) for name in ("seed", "first", "count", "batch")
    ]


def draw(model: str, steps: str | None, seed: int) -> tuple[Info, list[float]]:
    """Sample 0 of the seed: its sides, and its values [C, H, W]."""
    library = ctypes.CDLL(os.environ.get("DDPM_RT_LIBRARY", "libddpm_rt.so.0"))
    library.ddpm_rt_last_error.restype = ctypes.c_char_p
    library.ddpm_rt_close.argtypes = [ctypes.c_void_p]

    def check(status: int) -> None:
        if status:
            raise RuntimeError(library.ddpm_rt_last_error().decode())

    sampler, info, options = ctypes.c_void_p(), Info(), SampleOptions()
    check(library.ddpm_rt_open(model.encode(), steps and steps.encode(), None, ctypes.byref(sampler)))
    try:
        for struct, init in ((info, library.ddpm_rt_info_init), (options, library.ddpm_rt_sample_options_init)):
            check(init(ctypes.byref(struct), ctypes.c_size_t(ctypes.sizeof(struct))))
        check(library.ddpm_rt_describe(sampler, ctypes.byref(info)))
        options.seed = seed
        size = info.channels * info.height * info.width
        image = (ctypes.c_float * size)()
        check(library.ddpm_rt_sample(sampler, ctypes.byref(options), image, ctypes.c_size_t(size)))
    finally:
        library.ddpm_rt_close(sampler)
    return info, list(image)


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("embed.py MODEL [STEPS]")
    info, image = draw(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None, seed=7)
    area = info.height * info.width
    pixels = [image[channel * area + at] for at in range(area) for channel in range(info.channels)]
    kind = 5 if info.channels == 1 else 6
    sys.stdout.buffer.write(f"P{kind}\n{info.width} {info.height}\n255\n".encode())
    sys.stdout.buffer.write(bytes(int(min(max(value * 127.5 + 128, 0), 255)) for value in pixels))


if __name__ == "__main__":
    main()
