"""`ddpm-rt sample --shard I/N`: the parts are all of the samples, each once, with the same bytes."""

import numpy as np
import pytest
from command import failed, run
from hypothesis import given
from hypothesis import strategies as st

from ddpm_rt.requests.shard import Shard, samples_of


@given(st.integers(1, 60), st.integers(0, 2**40), st.integers(1, 300), st.integers(1, 40))
def test_the_shards_are_all_samples_in_order_in_whole_batches(parts, first, count, batch):
    shards = [samples_of(Shard(index, parts), first, count, batch) for index in range(parts)]
    assert [sample for shard in shards for sample in shard] == list(range(first, first + count))
    assert all((shard.start - first) % batch == 0 for shard in shards if shard)
    batches = [-(-len(shard) // batch) for shard in shards]
    assert max(batches) - min(batches) <= 1


def test_the_folders_of_shards_together_are_that_of_one_machine(gaussian, tmp_path):
    common = ("sample", gaussian, "--steps", 4, "--seed", 7, "--first", 3, "--count", 11, "--batch", 2)
    assert run(*common, "--out", tmp_path / "one").exit_code == 0
    for index in (2, 0, 1, 1):  # in any order, and twice
        assert run(*common, "--shard", f"{index}/3", "--out", tmp_path / "many").exit_code == 0
    one, many = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")} for name in ("one", "many"))
    assert len(one) == 11
    assert many == one


def test_the_arrays_of_shards_together_are_that_of_one_machine(gaussian, tmp_path):
    common = ("sample", gaussian, "--steps", 4, "--count", 10, "--batch", 4)
    assert run(*common, "--out", tmp_path / "one.npy").exit_code == 0
    for index in range(2):
        assert run(*common, "--shard", f"{index}/2", "--out", tmp_path / f"part-{index}.npy").exit_code == 0
    parts = [np.load(tmp_path / f"part-{index}.npy") for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), np.load(tmp_path / "one.npy"))


def test_a_shard_without_samples_is_no_failure_and_writes_nothing(gaussian, tmp_path):
    found = run("sample", gaussian, "--steps", 2, "--count", 4, "--shard", "0/3", "--out", tmp_path / "none.npy")
    assert (found.exit_code, found.output) == (0, "shard 0/3 has no samples: there are more shards than batches\n")
    assert not (tmp_path / "none.npy").exists()


@pytest.mark.parametrize("shard", ["3/3", "1/0", "-1/3", "1", "1/3/4", "x/3", "", "9" * 30 + "/3"])
def test_a_shard_that_there_is_not_is_refused(gaussian, shard, tmp_path):
    failed(run("sample", gaussian, "--shard", shard, "--out", tmp_path / "x.npy"), "--shard", code=2)


def test_a_file_of_an_image_a_sample_cannot_be_divided(gaussian, tmp_path):
    np.save(tmp_path / "two.npy", np.zeros((2, 1, 4, 6), np.float32))
    found = run("sample", gaussian, "--init-image", tmp_path / "two.npy", "--shard", "0/2", "--out", tmp_path / "x.npy")
    failed(found, "--shard cannot divide a file of several images", code=2)
