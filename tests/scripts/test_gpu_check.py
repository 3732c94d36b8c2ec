"""`scripts/gpu_check.py` without a GPU: its command, results file and plot."""

import json
import subprocess
import sys
import threading

import gpu_check
import numpy as np
import pytest
from gpu import plot, report, step
from gpu.check import Ask, Check, NotHereError, attempt, held, run_part
from gpu.parts import INNER, PARTS, checks_of, write_rows
from repository import ROOT

from ddpm_rt import DdpmRtError

pytest.importorskip("cuda.core")

SCRIPT = ROOT / "scripts" / "gpu_check.py"


# The command, its results file and its plot.


def test_an_exception_is_a_failed_row_and_a_missing_package_is_not_run():
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


def test_a_part_that_breaks_off_keeps_its_earlier_checks():
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


@pytest.mark.slow
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


def test_the_command_starts_without_click_torch_and_pillow(tmp_path):
    script = (
        "import sys\n"
        "sys.modules.update(click=None, torch=None, PIL=None, onnx=None, onnxruntime=None, diffusers=None)\n"
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import gpu_check, gpu.noise, gpu.step, gpu.timing, gpu.modes, gpu.memory, gpu.race, gpu.fitted, gpu.int8\n"
        "import gpu.sanitizer"
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
    """The exit code of `main` if the parts find these rows."""
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


def test_results_of_another_machine_are_replaced(monkeypatch, tmp_path):
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
def test_results_are_continued_unless_they_are_of_another_machine(tmp_path, machines, kept, machine):
    for name, one in zip("abc", machines, strict=False):
        report.Report(tmp_path / "x.json").add(name, one, [], "command", 1.0)
    record = json.loads((tmp_path / "x.json").read_text())
    assert ("".join(record["parts"]), record["machine"]) == (kept, machine)


def test_results_of_an_unknown_machine_are_kept(tmp_path):
    report.Report(tmp_path / "x.json").add("before", SOME, [], "command", 1.0)
    record = report.Report(tmp_path / "x.json")
    record.add("killed", NONE, [], "command", 1.0)
    record.add("measured", OTHER, [], "command", 1.0)
    assert list(record.parts) == ["killed", "measured"]


@pytest.mark.parametrize(
    ("out", "reason"),
    [("/proc/x", "/proc/x cannot be made: No such file or directory"), ("file", "file cannot be made: File exists")],
)
def test_a_folder_that_cannot_be_made_is_a_one_line_error(tmp_path, monkeypatch, capsys, out, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert gpu_check.main(["--out", out]) == 2
    assert capsys.readouterr() == ("", f"gpu_check.py: {reason}\n")


def test_a_part_that_hangs_or_dies_is_a_failure_and_keeps_its_checks(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys, os\n"
        "path = sys.argv[sys.argv.index('--rows') + 1]\n"
        "row = {'check': {'name': 'a', 'state': 'ok', 'text': '', 'figures': {}}}\n"
        "open(path, 'w').write(json.dumps(row) + chr(10) + '{\"check')\n"
        "sys.exit() if 'noise' in sys.argv else os.abort()\n"
    )

    def at_its_limit(command, *, timeout, **options):
        """The part `noise` times out after its first row and half of the next."""
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


def test_rows_are_written_as_soon_as_they_are_known(tmp_path):
    def nothing():
        raise DdpmRtError("no NVIDIA driver was found")

    assert write_rows(tmp_path / "rows", "noise", nothing, quick=True, batches=(1,))
    assert [check.state for check in gpu_check.read_rows(tmp_path / "rows")[1]] == ["not run"]


def test_the_record_has_the_checks_of_a_part_that_still_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "FOLLOW", 0.01)
    rows, told = tmp_path / "x.rows", threading.Event()
    record, row = report.Report(tmp_path / "x.json"), {"name": "a", "state": "ok", "text": "", "figures": {}}
    with gpu_check.followed(rows, lambda *found: told.set() or record.add("noise", *found, "command", 0.0)):
        rows.write_text(json.dumps({"machine": SOME}) + "\n" + json.dumps({"check": row}) + "\n{")
        assert told.wait(60)
    found = json.loads((tmp_path / "x.json").read_text())
    assert (found["machine"], found["parts"]["noise"]["checks"]) == (SOME, [row])


def test_bars_are_as_long_as_the_logarithm_of_their_times():
    bars = {("bundled", 1): [plot.Bar("ddpm-rt", 0.1), plot.Bar("diffusers", 10.0)]}
    picture = np.asarray(plot.draw(bars, "Some GPU"))
    ours, others = (
        (picture == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).any(0).nonzero()[0]
        for colour in (plot.OURS, plot.OTHERS)
    )
    assert len(ours) <= 2  # the axis begins at 0.1
    assert len(others) == plot.WIDTH - plot.LEFT - plot.RIGHT + 1  # and ends at 10


def test_every_part_is_in_the_list_of_checks_that_need_a_gpu():
    listed = (ROOT / "benchmarks" / "README.md").read_text().split("## Checks that need a GPU")[1]
    assert [name for name in PARTS if f"| `{name}` |" not in listed] == []
    assert f"{len(list(step.cases()))} tables" in listed


def test_the_columns_of_a_table_are_aligned():
    rows = [("noise", Check("short", "ok", "all", {})), ("toy", Check("longer", "not run", "none", {}))]
    lines = report.table(rows).splitlines()
    assert {line.index(text) for line, text in zip(lines, ("what", "all", "none"), strict=True)} == {
        lines[0].index("what")
    }
