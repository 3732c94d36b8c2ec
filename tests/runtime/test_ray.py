"""Samples as a Ray Dataset: the bytes of one process, whatever the actors, and refusals before anything waits."""

import os
import pickle
import subprocess
import time
from threading import Thread

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import write_conditional

import ddpm_rt
from ddpm_rt import DdpmRtError, Request
from ddpm_rt import ray as our_ray
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.engines.engine_options import EngineOptions

REQUEST = Request(seed=7, first=3, count=13, batch=4, steps=4, sampler="ddpm")


@pytest.fixture(scope="module")
def cluster():
    """Three processors, as Ray counts them: two actors and the tasks that feed them."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def rows_of(dataset):
    return sorted(dataset.take_all(), key=lambda row: row["sample"])


@pytest.mark.slow
@pytest.mark.parametrize("actors", [1, 2])
def test_the_images_are_those_of_one_process_to_the_bit(cluster, gaussian, actors):
    rows = rows_of(our_ray.images(gaussian, REQUEST, actors=actors))
    assert [row["sample"] for row in rows] == list(range(3, 16))
    assert {row["seed"] for row in rows} == {7}
    np.testing.assert_array_equal(np.stack([row["image"] for row in rows]), ddpm_rt.sample(gaussian, REQUEST))


@pytest.mark.slow
def test_some_batches_are_those_rows(cluster, gaussian):
    rows = rows_of(our_ray.images(gaussian, REQUEST, batches=[3, 1]))
    assert [row["sample"] for row in rows] == [7, 8, 9, 10, 15]
    known = ddpm_rt.sample(gaussian, REQUEST)
    np.testing.assert_array_equal(np.stack([row["image"] for row in rows]), known[[4, 5, 6, 7, 12]])


@pytest.mark.slow
def test_a_killed_actor_costs_its_batch_alone(cluster, gaussian):
    request = Request(seed=1, count=60, batch=2, steps=1000, sampler="ddpm")
    killed = []

    def kill():
        while not killed:
            found = subprocess.run(["pgrep", "-f", "ray::MapWorker"], capture_output=True, text=True).stdout.split()
            for process in map(int, found):
                if int(os.stat(f"/proc/{process}").st_uid) == os.getuid():
                    os.kill(process, 9)
                    killed.append(process)
                    return
            time.sleep(0.05)

    Thread(target=kill, daemon=True).start()
    rows = rows_of(our_ray.images(gaussian, request))
    assert killed
    np.testing.assert_array_equal(np.stack([row["image"] for row in rows]), ddpm_rt.sample(gaussian, request))


def test_an_actor_draws_whole_batches_by_their_numbers(gaussian):
    sha256 = file_sha256(gaussian)
    columns = our_ray._Actor(str(gaussian), sha256, REQUEST, EngineOptions(threads=1))({"id": np.array([3, 1])})
    assert columns["sample"].tolist() == [15, 7, 8, 9, 10]
    assert columns["seed"].tolist() == [7] * 5
    np.testing.assert_array_equal(columns["image"], ddpm_rt.sample(gaussian, REQUEST)[[12, 4, 5, 6, 7]])
    assert "label" not in columns


def test_an_actor_says_the_labels(tmp_path):
    path = write_conditional(tmp_path / "conditional.onnx")
    request = Request(count=5, batch=3, steps=3, label=[0, 2])
    columns = our_ray._Actor(str(path), file_sha256(path), request, EngineOptions(threads=1))({"id": np.array([0, 1])})
    assert columns["label"].tolist() == [0, 2, 0, 2, 0]
    np.testing.assert_array_equal(columns["image"], ddpm_rt.sample(path, request))


def test_an_actor_survives_the_way_to_another_process(gaussian):
    """Its arguments are pickled; a session could not be."""
    arguments = (str(gaussian), file_sha256(gaussian), REQUEST, EngineOptions(threads=1))
    columns = our_ray._Actor(*pickle.loads(pickle.dumps(arguments)))({"id": np.array([0])})
    np.testing.assert_array_equal(columns["image"], ddpm_rt.sample(gaussian, REQUEST)[:4])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ((3, 1, 0), "3 actors of 1 processors and one for the tasks that feed them need 4, but the cluster has 3"),
        ((1, 2.5, 0), "need 3.5, but the cluster has 3"),
        ((2, 1, 1), "2 actors of 1 GPUs need 2; the cluster has 1"),
    ],
)
def test_what_would_wait_for_ever_is_refused(wanted, words):
    our_ray._check_processors({"CPU": 3.0, "GPU": 1.0}, 2, 1, 0.5)
    with pytest.raises(DdpmRtError, match=words):
        our_ray._check_processors({"CPU": 3.0, "GPU": 1.0}, *wanted)


def test_wrong_arguments_are_refused(gaussian):
    with pytest.raises(ValueError, match="actors must be at least 1"):
        our_ray._check_processors({"CPU": 3.0}, 0, 1, 0)
    with pytest.raises(ValueError, match="the batches 0 to 3, not 4"):
        our_ray.images(gaussian, REQUEST, batches=[4])
    with pytest.raises(ValueError, match="an open engine cannot travel to other processes; give the path"):
        our_ray.images(Host(), REQUEST)


def test_an_actor_refuses_another_file_and_sets_its_threads(gaussian):
    with pytest.raises(DdpmRtError, match="is another file on this machine"):
        our_ray._Actor(str(gaussian), "0" * 64, REQUEST, EngineOptions())
    assert our_ray._options(EngineOptions(), 2.5).threads == 2
    assert our_ray._options(EngineOptions(), 0.5).threads == 1
    assert our_ray._options(EngineOptions(threads=4), 1).threads == 4
