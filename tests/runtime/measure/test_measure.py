"""What is timed, in which order, and what the figures mean; no test is held to a time."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from gaussian_model import gaussian_card, write_conditional, write_gaussian

from ddpm_rt import open_denoiser
from ddpm_rt.engine import Engine
from ddpm_rt.measure import Limit, Spread, bench, machine, measure
from ddpm_rt.measure.report import Subject, describe, to_json
from ddpm_rt.measure.timing import in_turn
from ddpm_rt.requests.request import Request

SUBJECT = Subject("a.onnx", "0" * 64, "fp32", "cpu", 2, "sampler ddim, steps 4", 1.0)


class Counted(Engine):
    """A network that notes the size of every batch, the timesteps and the labels."""

    def __init__(self, card=None):
        self.card, self.calls, self.closed = card or gaussian_card(), [], False

    def __call__(self, x, t, y=None, /):
        self.calls.append((x.shape, int(t[0]), None if y is None else y.tolist()))
        return np.zeros_like(x)

    def close(self):
        self.closed = True


def test_a_round_is_a_chain_and_as_many_bare_calls_at_the_same_timesteps():
    engine = Counted()
    found = measure(lambda: engine, Request(steps=4), batch=3, limit=Limit(5, 1e9))
    assert (found.batch, found.calls_per_sample, found.rounds) == (3, 4, 5)
    calls = engine.calls[bench.WARM_UP :]
    assert len(calls) == 5 * (4 + 4)
    assert {shape for shape, _, _ in calls} == {(3, 1, 4, 6)}
    for first in range(0, len(calls), 4):
        assert [t for _, t, _ in calls[first : first + 4]] == [999, 749, 499, 249]
    assert engine.closed


def test_bare_calls_of_a_guided_chain_have_twice_the_batch_and_labels(tmp_path):
    with open_denoiser(write_conditional(tmp_path / "c.onnx"), threads=1) as opened:
        engine = Counted(opened.card)
    measure(lambda: engine, Request(steps=2, label=[0, 2], guidance=2.0), batch=2, limit=Limit(3, 0))
    assert {shape[0] for shape, _, _ in engine.calls} == {4}
    assert {str(y[:2]) for _, _, y in engine.calls} == {"[0, 2]"}


def test_the_figures_are_those_of_the_clock(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("ddpm_rt.measure.timing.time.perf_counter", lambda: next(ticks))
    found = measure(Counted, Request(steps=4), batch=8, limit=Limit(3, 1e9), against=Counted)
    assert found.ms_per_call == Spread(1000.0, 1000.0, 1000.0)  # each run takes one tick of a second
    assert found.images_per_second.median == 8.0
    assert found.loop_overhead.median == 0.25  # the chain is one run, its four calls are four
    assert found.against is not None
    assert found.against.times_as_fast.median == 1.0


def test_at_least_three_rounds_are_run_and_no_more_than_the_time_allows(monkeypatch):
    assert list(Limit(9, -1.0).run()) == [0, 1, 2]
    assert list(Limit(1, 1e9).run()) == [0, 1, 2]
    assert list(Limit(5, 1e9).run()) == [0, 1, 2, 3, 4]


def test_no_contestant_is_always_first():
    rounds = [order for order, _ in zip(in_turn(["a", "b", "c"]), range(6), strict=False)]
    assert [order[0] for order in rounds] == ["a", "b", "c", "a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)


def test_a_spread_is_a_median_with_the_tenth_and_the_ninetieth_percentile():
    assert Spread.of(range(11)) == Spread(5.0, 1.0, 9.0)
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_models_of_other_images_are_not_compared():
    other = Counted(gaussian_card(image_shape=(1, 8, 8)))
    with pytest.raises(ValueError, match="different inputs"):
        measure(Counted, Request(steps=2), batch=1, limit=Limit(3, 0), against=lambda: other)


@pytest.mark.parametrize("batch", ["batch", 2])
def test_a_prepared_call_gives_what_the_engine_gives(tmp_path, batch):
    with open_denoiser(write_gaussian(tmp_path / "g.onnx", batch=batch), threads=1) as engine:
        x, t = np.random.default_rng(0).standard_normal((2, 1, 4, 6)).astype(np.float32), np.array([3, 900])
        (found,) = np.asarray(engine.prepared(x, t)()).reshape(1, *x.shape)
        np.testing.assert_array_equal(found, engine(x, t))
        assert np.asarray(engine.prepared(x[:1], t[:1])()).size == x[:1].size


def test_the_text_and_the_json_have_every_figure():
    rows = [measure(Counted, Request(steps=4), batch=batch, limit=Limit(3, 0), against=Counted) for batch in (1, 16)]
    text, found = describe(SUBJECT, rows), json.loads(to_json(SUBJECT, rows))
    assert [row["batch"] for row in found["batches"]] == [1, 16]
    assert found["batches"][1]["ms_per_call"].keys() == {"median", "low", "high"}
    assert found["batches"][0]["against"]["times_as_fast"]["median"] > 0
    assert found["subject"]["threads"] == 2
    for word in ("a.onnx, fp32", "2 threads", "4 calls a sample", "ms a call", "loop overhead", "times as fast"):
        assert word in text


def test_the_processor_is_read_from_the_system(tmp_path):
    facts = tmp_path / "cpuinfo"
    facts.write_text("processor\t: 0\nmodel name\t: Some CPU 9\nflags\t\t: fpu avx512_vnni amx_int8\n")
    assert machine.cpu_name(facts) == "Some CPU 9"
    assert machine.int8_instructions(facts) == ["AMX", "AVX-512 VNNI"]
    facts.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    assert machine.int8_instructions(facts) == ["I8MM", "SDOT"]
    facts.write_text("flags : fpu avx2\n")
    assert machine.int8_instructions(facts) == []
    assert machine.int8_instructions(tmp_path / "none") is None
    assert machine.cpu_name(tmp_path / "none")


def test_the_peak_of_the_memory_is_that_of_the_measurement(tmp_path):
    """In a process of its own, so that no earlier peak is higher."""
    program = """
import numpy as np
from ddpm_rt.measure.machine import PeakMemory
peak, small = PeakMemory(), PeakMemory().read()
held = np.ones(1 << 25)
print(peak.read() - (small or 0) >= 0.9 * held.nbytes, small is None or small < held.nbytes)
del held
after = PeakMemory().read()
print(after is None or after < 1 << 28)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


def test_a_peak_before_the_measurement_is_not_reported(monkeypatch, tmp_path):
    status = tmp_path / "status"
    monkeypatch.setattr(machine, "STATUS", status)
    monkeypatch.setattr(machine, "CLEAR", tmp_path / "none" / "clear_refs")  # the peak cannot begin anew
    status.write_text("VmHWM:\t  900000 kB\nVmRSS:\t  100000 kB\n")
    peak = machine.PeakMemory()
    assert peak.read() is None
    status.write_text("VmHWM:\t  900004 kB\nVmRSS:\t  100000 kB\n")
    assert peak.read() == 900004 * 1024
    status.write_text("VmHWM:\t  100000 kB\nVmRSS:\t  100000 kB\n")  # as after it began anew
    assert machine.PeakMemory().read() == 100000 * 1024


def test_the_peak_is_that_of_the_start_where_there_is_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "STATUS", tmp_path / "none")
    peak = machine.PeakMemory()
    assert peak.read() is None
    monkeypatch.setattr(peak, "_before", 1)
    assert peak.read() > 1
