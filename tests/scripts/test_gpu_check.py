"""`scripts/gpu_check.py` without a GPU: its parts on a device that stands in for one, its command, record and plot."""

import json
import subprocess
import sys

import gpu_check
import numpy as np
import pytest
import torch
from gpu import contestants, memory, modes, noise, plot, providers, race, rates, report, sanitizer, step, timing, unet
from gpu.check import Ask, Check, NotHereError, attempt, held, run_part
from gpu.models import load_model
from gpu.parts import INNER, PARTS, checks_of, write_rows
from gpu.torch_engine import TorchEngine, TorchNetwork
from gpu.toy import ToyEngine, toy_card
from repository import ROOT
from toy_kernel import register_toy

from ddpm_rt import DdpmRtError, open_denoiser
from ddpm_rt.request import Request

pytest.importorskip("cuda.core")

SCRIPT = ROOT / "scripts" / "gpu_check.py"
DDPM = Request(sampler="ddpm", steps=4, count=2, batch=2)


@pytest.fixture
def device(stand_in, device):
    """With the toy network in NumPy."""
    register_toy(stand_in)
    return device


@pytest.fixture
def torch_on_host(stand_in, monkeypatch):
    """`engine_of` of the bundled model, which torch runs on the CPU when the device's stream gets there."""

    def on_stream(stream, run):
        assert stand_in.enqueue(stream, run, "torch") == 0

    def engine_of(name, dtype="float32", *, compiled=False):
        module, card = load_model("bundled")
        return TorchEngine(module, card, place="cpu", dtype=getattr(torch, dtype), on_stream=on_stream)

    for module in (unet, memory, contestants):
        monkeypatch.setattr(module, "engine_of", engine_of)
    return engine_of


def states(checks):
    return {check.state for check in checks}


# On the stand-in: what is compared here is the loop, its buffers and its graphs, and the parts themselves.


def test_noise_of_the_kernels_is_numpys(device):
    assert noise.initial_noise(device, (3, 5, 7), 7, (0, 1, 2**64 - 1)) == 0
    assert noise.step_noise(device, (1, 3, 3), 2**64 - 1, 2**32) == 0


def test_noise_that_differs_is_counted(device, monkeypatch):
    normal = noise.noise.normal
    monkeypatch.setattr(noise.noise, "normal", lambda seed, *more: normal(seed + 1, *more))
    assert noise.initial_noise(device, (1, 2, 2), 7, (0,)) == 4


def test_the_step_is_numpys_for_tables_of_all_kinds(device):
    few = list(step.cases())[::2] + list(step.cases())[-19:]
    found = {one.name: step.compare(device, one) for one in few}
    assert {name: outcome.text for name, outcome in found.items() if outcome.state != "ok"} == {}


def test_cases_cover_every_column_of_a_table():
    tables = [one.request.table(one.card) for one in step.cases()]
    assert all(any(np.any(getattr(table, column)) for table in tables) for column in tables[0]._fields)


def test_a_wrong_step_is_named(device, monkeypatch):
    network = step.ToyNetwork
    monkeypatch.setattr(step, "ToyNetwork", lambda card: off_below(network(card), 571))
    outcome = step.compare(device, step.case("ddim", {"steps": 7}))
    assert outcome.state == "FAIL"
    assert outcome.figures["row"] == 3  # of timesteps 999, 856, 713, 570


def off_below(network, t):
    def run(x, times, y=None):
        out = network(x, times, y)
        return out + np.float32(1e-3) if times[0] < t else out

    run.card = network.card
    return run


@pytest.mark.parametrize("mode", modes.MODES)
def test_a_mode_draws_numpys_images_and_ends_at_nan(device, mode):
    request = Request(sampler="ddpm", steps=40, count=3, batch=2)
    assert modes.in_mode(device, request, (1, 5, 5), mode, streams=2).state == "ok"
    assert modes.watched(device, Request(sampler="dpm++", steps=20, count=2), mode).state == "ok"
    assert modes.broken(device, mode).state == "ok"


def test_the_step_alone_is_timed(device, monkeypatch):
    monkeypatch.setattr(timing, "UNROLLED", 2)
    monkeypatch.setattr(timing, "LAUNCHES", 1)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    checks = list(timing.checks(Ask(device, batches=(1,))))
    assert [check.name for check in checks if "history" not in check.name] == [
        "the step alone, MNIST, batch 1",
        "the step alone, CIFAR-10, batch 1",
    ]
    assert all(check.figures["gpu_us"] > 0 for check in checks)


def test_memory_is_what_it_was_after_a_long_run_and_after_ctrl_c(device, stand_in):
    engine = ToyEngine(device, toy_card())
    assert memory.long_run(device, engine, 3, 3).figures["growth"] == 0
    for mode in modes.MODES:
        assert memory.interrupted(device, engine, 10, mode, times=1).figures["growth"] == 0


def test_a_run_that_grows_is_seen(device, monkeypatch):
    levels = iter(range(0, 100 * memory.MIB, 10 * memory.MIB))
    monkeypatch.setattr(memory, "used", lambda device: next(levels))
    assert memory.long_run(device, ToyEngine(device, toy_card()), 3, 3).state == "FAIL"


def test_what_is_looked_at_with_the_sanitizer_holds(device):
    assert states(sanitizer.sanitized(Ask(device))) == {"ok"}


def test_chains_of_a_torch_module_are_those_of_onnx_runtime(device, torch_on_host):
    engine = torch_on_host("bundled")
    assert unet.parity(device, engine, open_denoiser(), DDPM).state == "ok"
    assert unet.parity(device, engine, TorchNetwork(engine), DDPM).figures["worst"] == 0.0


def test_a_torch_module_is_replayed_and_looped(device, torch_on_host):
    assert unet.same_in(device, "bundled", DDPM, "replay").state == "ok"
    answer = unet.in_while(device, "bundled", "float32", DDPM)
    assert (answer.state, answer.figures) == ("noted", {"accepted": 1})


def test_half_precision_is_told_from_single(device, torch_on_host):
    outcome = unet.psnr(device, "bundled", "bfloat16", DDPM)
    assert outcome.state == "noted"
    assert 15 < outcome.figures["psnr"] < 80  # 8 bits of mantissa, over four steps


def test_an_engine_that_refuses_a_while_graph_is_an_answer(device, torch_on_host, monkeypatch):
    def images(device, engine, request, mode="replay"):
        raise DdpmRtError("the GPU refused: CUDA_ERROR_NOT_SUPPORTED")

    monkeypatch.setattr(unet, "images", images)
    outcome = unet.in_while(device, "bundled", "float32", DDPM)
    assert (outcome.state, outcome.text) == ("noted", "no: the GPU refused: CUDA_ERROR_NOT_SUPPORTED")


def test_a_race_is_run_by_everybody_who_is_there(device, torch_on_host, monkeypatch):
    monkeypatch.setattr(contestants, "steps_of", lambda batch, quick: 3)
    for name, value in {"FEW": 2, "PLACE": "cpu", "HALF": "float32"}.items():
        monkeypatch.setattr(contestants, name, value)
    monkeypatch.setattr(contestants, "torch_with_cuda", lambda: torch)
    monkeypatch.setattr(providers, "PROVIDER", "CPUExecutionProvider")

    def nobody(*given):
        raise ValueError("did not come")

    def breaks_down(*given):
        laps = iter([None, None])
        return contestants.Entry(lambda seed: next(laps), 1, "")

    field = {**race.TIMES, "nobody": nobody, "breaks down": breaks_down}
    finished = race.race(device, "bundled", 2, field, quick=True)
    there = [check.figures["who"] for check in finished.checks if check.state == "noted"]
    assert there == [race.BARE, race.OURS, race.EAGER, race.ORT]
    assert [check.name for check in finished.checks if check.state == "FAIL"] == [
        "bundled, batch 2: nobody",
        "bundled, batch 2: breaks down",
    ]
    assert finished.ratio > 0
    compared = list(race.compare("bundled, batch 2", finished.ms, race.EAGER, 5.0, is_aim=False))
    assert compared[0].figures["times"] == finished.ms[race.EAGER] / finished.ms[race.OURS]


# The figures.


def test_work_is_that_of_the_published_network():
    module, card = load_model("cifar10")
    work = rates.work_of(module, card.image_shape, 1)
    assert work.flops == pytest.approx(
        2 * 6.222e9, rel=1e-3
    )  # multiply-adds of the network of Ho et al., counted apart
    assert 2 * 35_746_307 < work.bytes < 2 * 35_746_307 + 6 * 16e6  # its weights, and layers of 16 MB in all


def test_the_roofline_is_the_slower_of_arithmetic_and_memory():
    assert rates.Work(2e12, 1e9).seconds(rates.Rates(1e12, 1e12)) == 2.0
    assert rates.Work(1e9, 3e12).seconds(rates.Rates(1e12, 1e12)) == 3.0


# The command, its record and its plot.


def test_what_raises_is_one_failed_row_and_what_is_missing_is_not_run():
    def missing():
        raise NotHereError("no such thing")

    def absent():
        import no_such_module  # noqa: F401

    def ours():
        import ddpm_rt.no_such_module  # noqa: F401

    assert attempt("a", lambda: held(1 > 2, "no"))[:3] == ("a", "FAIL", "no")
    assert attempt("a", missing)[:3] == ("a", "not run", "no such thing")
    assert attempt("a", absent)[:3] == ("a", "not run", "no_such_module is not installed")
    assert attempt("a", ours).state == "FAIL"
    assert attempt("a", lambda: 1 / 0)[:3] == ("a", "FAIL", "ZeroDivisionError: division by zero")


def test_a_part_that_breaks_off_keeps_what_it_had():
    def part(ask):
        yield Check("first", "ok", "", {})
        raise ValueError("broken\nfor a reason")

    rows = list(run_part("it", part, Ask(None)))
    assert [(row.name, row.state, row.text) for row in rows] == [
        ("first", "ok", ""),
        ("it comes to its end", "FAIL", "ValueError: broken"),
    ]


@pytest.mark.parametrize("name", [*PARTS, *INNER])
def test_a_part_without_a_gpu_says_so(name):
    def nothing():
        raise DdpmRtError("no NVIDIA driver was found; install one, or sample on the CPU")

    assert [check[1:3] for check in checks_of(name, nothing, quick=True, batches=(1,))] == [
        ("not run", "no NVIDIA driver was found")
    ]


def test_the_command_without_a_gpu_runs_nothing_and_says_so(tmp_path):
    command = [sys.executable, SCRIPT, "--out", tmp_path / "out", "--quick", "--only", "toy,noise"]
    done = subprocess.run([*command], capture_output=True, text=True, env=environment(CUDA_VISIBLE_DEVICES=""))
    assert done.returncode == 2, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["part", "state", "check", "what", "was", "found"]
    assert [line.split()[:3] for line in lines[1:3]] == [["noise", "not", "run"], ["toy", "not", "run"]]
    record = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert record["parts"]["noise"]["command"].endswith("--quick --only toy,noise")


def environment(**more):
    import os

    paths = ["runtime", "export", "."]
    return {**os.environ, "PYTHONPATH": ":".join(str(ROOT / path) for path in paths), **more}


def test_the_command_needs_neither_click_nor_torch_nor_pillow_to_begin(tmp_path):
    script = (
        "import sys\n"
        "sys.modules.update(click=None, torch=None, PIL=None, onnx=None, onnxruntime=None, diffusers=None)\n"
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import gpu_check, gpu.noise, gpu.step, gpu.timing, gpu.modes, gpu.memory, gpu.race, gpu.sanitizer"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "noise"], "--out is needed"),
        (["--out", "x", "--only", "nose"], "'nose' is no part"),
        (["--out", "x", "--batches", "1,0"], "'1,0' must be batch sizes"),
        (["--out", "x", "--batches", "one"], "'one' must be batch sizes"),
    ],
)
def test_wrong_arguments_are_named(arguments, reason, capsys):
    with pytest.raises(SystemExit) as ended:
        gpu_check.main(arguments)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def run_with(monkeypatch, tmp_path, rows, *arguments):
    """`main` with parts that found these rows; its exit code."""
    machine = {"gpu": "Some GPU"}
    monkeypatch.setattr(gpu_check, "in_process", lambda name, asked: (machine, list(rows[name])))
    return gpu_check.main(["--out", str(tmp_path), "--only", ",".join(rows), *arguments])


TIME = {"model": "bundled", "batch": 1, "ms_a_step": 0.5}


def test_the_record_grows_part_by_part(monkeypatch, tmp_path, capsys):
    first = {"noise": [Check("n", "ok", "fine", {})]}
    times = [Check(who, "noted", "", TIME | {"who": who}) for who in ("ddpm-rt", "diffusers", "roofline")]
    assert run_with(monkeypatch, tmp_path, first) == 0
    assert run_with(monkeypatch, tmp_path, {"times": [*times, Check("aim", "missed", "2 x", {})]}) == 0
    record = json.loads((tmp_path / "gpu_check.json").read_text())
    assert record["format"] == 1
    assert record["machine"] == {"gpu": "Some GPU"}
    assert list(record["parts"]) == ["noise", "times"]
    assert record["parts"]["noise"]["checks"] == [{"name": "n", "state": "ok", "text": "fine", "figures": {}}]
    assert {"date", "command", "seconds", "checks"} == set(record["parts"]["times"])
    assert "Some GPU: 1 ok, 0 FAIL, 1 missed, 3 noted, 0 not run" in capsys.readouterr().out
    assert (tmp_path / "gpu_check.png").read_bytes().startswith(b"\x89PNG")


def test_one_failure_is_exit_code_1(monkeypatch, tmp_path):
    rows = {"noise": [Check("a", "ok", "", {})], "toy": [Check("b", "FAIL", "wrong", {})]}
    assert run_with(monkeypatch, tmp_path, rows) == 1


def test_the_record_of_another_machine_is_begun_anew(monkeypatch, tmp_path):
    (tmp_path / "gpu_check.json").write_text(json.dumps({"format": 1, "machine": {"gpu": "B"}, "parts": {"toy": {}}}))
    assert run_with(monkeypatch, tmp_path, {"noise": [Check("a", "ok", "", {})]}) == 0
    assert list(json.loads((tmp_path / "gpu_check.json").read_text())["parts"]) == ["noise"]


SOME, OTHER, NONE = {"gpu": "A"}, {"gpu": "B"}, {}


@pytest.mark.parametrize(
    ("machines", "kept", "machine"),
    [
        ((SOME, SOME), "ab", SOME),
        ((SOME, NONE), "ab", SOME),
        ((NONE, SOME), "ab", SOME),
        ((NONE, NONE), "ab", NONE),
        ((SOME, OTHER), "b", OTHER),
        ((SOME, NONE, OTHER), "c", OTHER),
    ],
)
def test_a_record_is_gone_on_with_unless_it_is_of_another_machine(tmp_path, machines, kept, machine):
    for name, one in zip("abc", machines, strict=False):
        report.Report(tmp_path / "x.json").add(name, one, [], "command", 1.0)
    record = json.loads((tmp_path / "x.json").read_text())
    assert ("".join(record["parts"]), record["machine"]) == (kept, machine)


def test_a_part_that_did_not_get_to_its_machine_stays_beside_those_that_did(tmp_path):
    report.Report(tmp_path / "x.json").add("before", SOME, [], "command", 1.0)
    record = report.Report(tmp_path / "x.json")
    record.add("killed", NONE, [], "command", 1.0)
    record.add("measured", OTHER, [], "command", 1.0)
    assert list(record.parts) == ["killed", "measured"]


@pytest.mark.parametrize(
    ("out", "reason"),
    [("/proc/x", "/proc/x cannot be made: No such file or directory"), ("file", "file cannot be made: File exists")],
)
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch, capsys, out, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert gpu_check.main(["--out", out]) == 2
    assert capsys.readouterr() == ("", f"gpu_check.py: {reason}\n")


def test_a_part_that_hangs_or_dies_is_a_failure_with_what_it_had(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys, os\n"
        "path = sys.argv[sys.argv.index('--rows') + 1]\n"
        "row = {'check': {'name': 'a', 'state': 'ok', 'text': '', 'figures': {}}}\n"
        "open(path, 'w').write(json.dumps(row) + chr(10) + '{\"check')\n"
        "sys.exit() if 'noise' in sys.argv else os.abort()\n"
    )

    def at_its_limit(command, *, timeout, **options):
        """`noise` has written its first row and half of the next when its time is over."""
        done = run_process(command, **options)
        if "noise" in command:
            raise subprocess.TimeoutExpired(command, timeout)
        return done

    run_process = subprocess.run
    monkeypatch.setattr(gpu_check.subprocess, "run", at_its_limit)
    monkeypatch.setattr(gpu_check, "__file__", str(script))
    asked = gpu_check.arguments().parse_args(["--out", str(tmp_path), "--limit", "77"])
    for name, reason in (("noise", "not done after 77 seconds"), ("toy", "exit code -6")):
        _, checks = gpu_check.in_process(name, asked)
        assert [check.state for check in checks] == ["ok", "FAIL"]
        assert checks[1].text.startswith(reason)


def test_rows_are_written_as_they_are_known(tmp_path):
    def nothing():
        raise DdpmRtError("no NVIDIA driver was found")

    assert write_rows(tmp_path / "rows", "noise", nothing, quick=True, batches=(1,))
    assert [check.state for check in gpu_check.read_rows(tmp_path / "rows")[1]] == ["not run"]


def test_bars_are_as_long_as_the_logarithm_of_their_times():
    bars = {("bundled", 1): [plot.Bar("ddpm-rt", 0.1), plot.Bar("diffusers", 10.0)]}
    picture = np.asarray(plot.draw(bars, "Some GPU"))
    ours, others = (
        (picture == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).any(0).nonzero()[0]
        for colour in (plot.OURS, plot.OTHERS)
    )
    assert len(ours) <= 2  # the axis begins at 0.1
    assert len(others) == plot.WIDTH - plot.LEFT - plot.RIGHT + 1  # and ends at 10


def test_every_part_is_in_the_list_of_what_waits_for_a_gpu():
    waits = (ROOT / "benchmarks" / "README.md").read_text().split("## What waits for a GPU")[1]
    assert [name for name in PARTS if f"| `{name}` |" not in waits] == []
    assert f"{len(list(step.cases()))} tables" in waits


def test_a_table_lines_up():
    rows = [("noise", Check("short", "ok", "all", {})), ("toy", Check("longer", "not run", "none", {}))]
    lines = report.table(rows).splitlines()
    assert {line.index(text) for line, text in zip(lines, ("what", "all", "none"), strict=True)} == {
        lines[0].index("what")
    }
