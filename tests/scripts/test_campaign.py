"""The short campaign finds no failure, and it detects faults that are planted."""

import pytest
from campaign import disks, hostile, kills, pairs, signals, writers
from campaign.children import preload
from campaign.result import Result, table
from campaign.verbs import VERBS, Verb, leftovers
from campaign.world import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    preload()
    return make_world(tmp_path_factory.mktemp("campaign"), training=False)


def clean(result, tried):
    assert result.failures == []
    assert sum(result.tried.values()) >= tried


@pytest.mark.slow
def test_kills_leave_whole_files(world):
    quick = [verb for verb in VERBS if not verb.slow]
    clean(kills.run(world, len(quick), 1, slow=False), len(quick))


@pytest.mark.slow
def test_kills_leave_a_plan_with_its_record(world):
    clean(pairs.run(world, 10, 1), 10)


@pytest.mark.slow
def test_signals_end_commands_in_one_line(world):
    clean(signals.run(world, 9, 1, fresh=2, slow=False), 11)


@pytest.mark.slow
def test_full_disks_are_a_one_line_error(world):
    clean(disks.run(world, 11, 1, slow=False), 11)


@pytest.mark.slow
def test_concurrent_writers_do_not_mix(world):
    clean(writers.run(world, 4, 1), 4)


def test_a_fault_is_found(world, monkeypatch):
    """A faulty verb that writes in place, so that its file is complete only at the end."""

    def half(path):
        raise ValueError("half")

    broken = Verb("steps", VERBS[6].arguments, VERBS[6].out, half)
    monkeypatch.setattr(kills, "in_turn", lambda number, slow: broken)
    result = kills.run(world, 2, 1, slow=False)
    assert result.failed("steps") == 2
    assert "steps" in table([result])


def test_a_leftover_file_is_found(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".ddpm-rt.aaaaaaaaaaaaaaaa.tmp").touch()
    (tmp_path / ".ddpm-rt.lock").touch()
    assert leftovers(tmp_path) == ["deep/.ddpm-rt.aaaaaaaaaaaaaaaa.tmp"]


def test_hostile_files_differ_and_the_original_is_restored(tmp_path):
    import random

    chance, path = random.Random(1), tmp_path / "a"
    path.write_bytes(bytes(range(256)))
    seen = set()
    for _ in range(50):
        with hostile.changed(path, chance):
            seen.add(path.read_bytes())
        assert path.read_bytes() == bytes(range(256))
    assert len(seen) > 40


def test_a_result_counts_trials_and_failures():
    result = Result("part")
    result.count("a")
    result.count("a", ["wrong", "and more"])
    assert result.rows() == [("part", "a", 2, 1)]
