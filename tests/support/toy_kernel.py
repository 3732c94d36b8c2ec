"""The kernel of `scripts/gpu/toy.py` in NumPy, for the stand-in device."""

import numpy as np
from gpu import toy

from ddpm_rt.device.lanes import TIME_TYPES


def register_toy(stand_in):
    """Register the toy kernel with the stand-in device."""

    def run(x, t, y, out, images, size, out_size, t_type, one_time, poison):
        flat = stand_in.array(x, (images, 1, 1, size))
        times = stand_in.array(t, 1 if one_time else images, TIME_TYPES[t_type])
        labels = stand_in.array(y, images, np.int64) if y else None
        said = toy.toy_network(flat, times, labels, learned=out_size > size, poison=poison)
        stand_in.array(out, (images, out_size))[...] = said.reshape(images, out_size)

    stand_in.register_kernel(toy.NAME, toy.PARAMETERS, run)
