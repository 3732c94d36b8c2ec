"""The CPU engine's threads respect affinity and quota, and its telemetry is off."""

import os
import subprocess
import sys

import pytest

from ddpm_rt.engines import cpu_threads
from ddpm_rt.engines.cpu_threads import cpu_quota, default_threads, physical_cores


def groups(tmp_path, lines, **files):
    """A control group file system with these files, and a /proc/self/cgroup with these lines."""
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(lines)
    return tmp_path / "fs", tmp_path / "own"


@pytest.mark.parametrize(
    ("lines", "files", "quota"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 0.5),
        ("0::/gone\n", {"cpu.max": "400000 100000\n"}, 4.0),  # a container sees its own group as the root
        ("4:cpu,x:/a\n", {"cpu,x/a/cpu.cfs_quota_us": "250000", "cpu,x/a/cpu.cfs_period_us": "100000"}, 2.5),
        ("4:cpu,cpuacct:/a\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("3:memory:/a\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
    ],
)  # fmt: skip
def test_the_quota_is_the_smallest_of_all_control_groups(tmp_path, lines, files, quota):
    assert cpu_quota(*groups(tmp_path, lines, **files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert cpu_quota(tmp_path, tmp_path / "none") is None


def test_two_threads_of_a_core_count_once(tmp_path):
    for number, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert physical_cores({0, 2}, tmp_path) == 1
    assert physical_cores({7, 9}, tmp_path) == 2  # a system without this information


@pytest.mark.parametrize(
    ("allowed", "quota", "threads"),
    [(8, None, None), (3, None, 3), (8, 1.5, 2), (1, 4.0, 1), (8, 0.25, 1), (0, None, None), (0, 2.0, 2)],
)  # fmt: skip
def test_the_number_of_threads_respects_affinity_and_quota(monkeypatch, allowed, quota, threads):
    monkeypatch.setattr(cpu_threads, "allowed_processors", lambda: set(range(allowed)))
    monkeypatch.setattr(cpu_threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(cpu_threads, "physical_cores", len)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert default_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity")
def test_a_process_on_one_processor_samples_with_one_thread(gaussian):
    script = (
        "import os, sys\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import ddpm_rt\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "ddpm_rt.sample(sys.argv[1], steps=2, count=2)\n"
        "with ddpm_rt.open_denoiser(sys.argv[1]) as denoise:\n"
        "    ddpm_rt.sample(denoise, steps=2, count=2)\n"
        "    sys.exit(len(os.listdir('/proc/self/task')) - before)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(gaussian)]).returncode == 0


def test_telemetry_writes_nothing_into_the_home_folder(gaussian, tmp_path):
    known = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    script = "import sys, ddpm_rt; ddpm_rt.sample(sys.argv[1], steps=2, count=1)"
    subprocess.run([sys.executable, "-c", script, str(gaussian)], env={**known, "HOME": str(tmp_path)}, check=True)
    assert not [path for path in tmp_path.rglob("*") if "Microsoft" in str(path)]


@pytest.mark.parametrize(("given", "found"), [(None, "1"), ("0", "0")])
def test_the_user_decides_about_telemetry(given, found):
    known = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    known |= {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    script = (
        "import os\n"
        "from ddpm_rt.engines.onnx_runtime import onnx_runtime\n"
        "onnx_runtime()\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=known, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
