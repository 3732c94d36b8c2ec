"""SIGKILL at random moments while a plan and its record are replaced, with the writer of `build` and `refit`."""

import hashlib
import os
import random
import signal
import time
from pathlib import Path

from .result import Result
from .world import World


def run(world: World, count: int, seed: int) -> Result:
    """Kill a process that replaces the same pair repeatedly, `count` times in one folder."""
    result, chance = Result("kill -9"), random.Random(seed)
    with world.place() as folder:
        plan = folder / "unet.plan"
        _put_once(plan, 0)
        for number in range(count):
            child = os.fork()
            if child == 0:
                _put_for_ever(plan, number)
            time.sleep(chance.uniform(0, 0.2))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            result.count("plan and record", _faults(plan))
        _put_once(plan, 1)
        left = {path.name for path in folder.iterdir() if path.name.startswith((".ddpm-rt", "unet.plan"))}
        left = {name for name in left if not name.endswith(".lock")}
        result.count("plan and record", [] if left == {"unet.plan", "unet.plan.json"} else [f"left: {sorted(left)}"])
    return result


def _put(plan: Path, number: int) -> None:
    from gaussian_model import gaussian_card
    from plan_files import BUILD

    from ddpm_export.plans.pair import write_pair
    from ddpm_rt.artifacts.plan_record import PlanRecord, network_name

    card = gaussian_card()
    content = b"vtrt" + str(number).encode() * 50_000 + network_name(card).encode()
    write_pair(plan, content, PlanRecord(card, BUILD, len(content), hashlib.sha256(content).hexdigest()))


def _put_once(plan: Path, number: int) -> None:
    """Replace the pair in a new process: every process removes the files of dead processes only once."""
    if (child := os.fork()) == 0:
        try:
            _put(plan, number)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _put_for_ever(plan: Path, number: int) -> None:
    try:
        while True:
            number += 1
            _put(plan, number)
    finally:
        os._exit(1)


def _faults(plan: Path) -> list[str]:
    from ddpm_rt import DdpmRtError
    from ddpm_rt.artifacts.plan_record import read_plan

    try:
        read_plan(plan)
    except DdpmRtError as error:
        return [str(error)]
    return []
