"""An .npy file is written batch by batch, and only if the disk has enough space."""

import shutil

import numpy as np
from command import run

import ddpm_rt
from ddpm_rt.artifacts import array_file


def test_the_file_contains_the_samples_and_each_batch_is_appended_when_it_is_drawn(gaussian, tmp_path, monkeypatch):
    parts, write = [], array_file.write_array

    def spied(path, shape, fill):
        def watched(append):
            fill(lambda part: parts.append(part.shape[0]) or append(part))

        write(path, shape, watched)

    monkeypatch.setattr("ddpm_rt.images.output.write_array", spied)
    options = {"seed": 3, "count": 7, "batch": 3, "steps": 4}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    result = run("sample", "--engine", gaussian, *words, "--out", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    assert parts == [3, 3, 1]
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), ddpm_rt.sample(gaussian, **options))


def test_an_array_larger_than_the_free_disk_space_is_refused_before_anything_is_drawn(gaussian, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=10**6))
    monkeypatch.setattr("ddpm_rt.host_loop.normal", None)  # a call would fail
    result = run("sample", "--engine", gaussian, "--count", 10**7, "--steps", 1, "--out", tmp_path / "x.npy")
    assert result.exit_code == 1
    assert "GB are free" in result.stderr
    assert list(tmp_path.iterdir()) == []
