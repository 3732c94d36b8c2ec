"""Runs the step kernels and NumPy's loop on tables of every kind with the same outputs, and compares bits."""

from itertools import product

import numpy as np
from step_host import HostChain

from ddpm_rt.device.lanes import FINITE, lanes_of, rows_of
from ddpm_rt.host_loop import Beginning, trajectory
from ddpm_rt.requests.conditioned import Conditions, conditioned
from ddpm_rt.samplers import ddim, ddpm, samplers_of
from ddpm_rt.samplers.schedule import Schedule

MAX32, MAX64 = 2**32 - 1, 2**64 - 1
SEED, SAMPLES = 2**63 + 5, (2**32 - 1, 2**32)  # the last number of one 32-bit word, and the first of two
SCHEDULE = Schedule(np.linspace(1e-3, 0.3, 20))
TIMES = np.array([19, 14, 9, 5, 2, 0])
GUIDANCE = 2.5


def same_bits(found, expected):
    """Assert equal bits; any NaN equals any NaN."""
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(found[number].view(np.uint32), expected[number].view(np.uint32))


# One row and the next


def tables():
    """By name: every sampler with every prediction, and features of single samplers."""
    for (name, sampler), prediction in product(samplers_of("betas").items(), ("eps", "x0", "v")):
        yield f"{name} {prediction}", sampler.table(SCHEDULE, TIMES, prediction=prediction)
    for variance in ("fixed_large", "learned", "learned_range"):
        yield f"ddpm {variance}", ddpm(SCHEDULE, TIMES, variance=variance, last_noise=True)
    yield "ddim eta", ddim(SCHEDULE, TIMES, eta=0.7)
    yield "ddim raw_eps", ddim(SCHEDULE, TIMES, eta=0.3, raw_eps=True)


TABLES = dict(tables())


def answers(steps, images, out_size):
    """The network's output in each row, which includes zeros of both signs."""
    out = np.random.default_rng(3).standard_normal((steps, images, out_size)).astype(np.float32)
    out[..., ::7], out[..., 3::11] = 0.0, -0.0
    return out


class NumpyLoop:
    """The host loop with the same network outputs and flat images."""

    def __init__(self, table, outs, size, *, clip, guided=False, seed=SEED, samples=SAMPLES, first_row=0, start=None):
        self.outs, self.row, self.asked = outs, first_row, None
        count = len(samples)
        denoise = self.answer
        if guided:
            labels, null = (Conditions(np.full(count, label, np.int64)) for label in (0, 1))
            denoise = conditioned(self.answer, labels, guidance=GUIDANCE, null=null)
        self.steps = trajectory(
            denoise,
            table,
            (1, 1, size),
            seed=seed,
            samples=samples,
            clip=clip,
            begin=Beginning(None if start is None else start.reshape(count, 1, 1, size), first_row),
        )

    def answer(self, x, t, y=None):
        self.asked = (x.reshape(len(x), -1).copy(), t.copy())
        out = self.outs[self.row]
        self.row += 1
        return out.reshape(len(x), -1, 1, x.shape[-1]).copy()

    def __iter__(self):
        for step in self.steps:
            yield step.row, step.x.reshape(len(step.x), -1), step.x0.reshape(len(step.x), -1)


def check_chain(host, table, size, *, clip, learned, guided, t=0):
    chain = HostChain(
        *(host, rows_of(table, clip), lanes_of(SEED, SAMPLES, end=table.steps, guidance=GUIDANCE), size),
        **{"learned": learned, "guided": guided, "t": t},
    )
    outs = answers(table.steps, *chain.out.shape)
    loop = NumpyLoop(table, outs, size, clip=clip, guided=guided)
    chain.run("ddpm_rt_begin")
    asked, t_asked = chain.x.copy(), chain.t.copy()
    for row, x, x0 in loop:
        same_bits(asked, loop.asked[0])  # both halves of a guided batch
        np.testing.assert_array_equal(t_asked, loop.asked[1])
        chain.out[:] = outs[row]
        chain.run("ddpm_rt_step", shuffle=row)
        same_bits(chain.x[: len(SAMPLES)], x)
        same_bits(chain.x0, np.concatenate([x0, x0]) if guided else x0)
        asked, t_asked = chain.x.copy(), chain.t.copy()
    assert (chain.lanes["row"] == table.steps).all()
    assert (chain.lanes["not_finite"] == FINITE).all()
    assert chain.state.tolist() == [0, 0, 0, 0]
