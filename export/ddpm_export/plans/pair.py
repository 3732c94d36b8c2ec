"""Replace a plan and its record together: a kill at any moment leaves either the old pair or the new pair."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from ddpm_rt import DdpmRtError
from ddpm_rt.artifacts.atomic_write import find_target, replace_file
from ddpm_rt.artifacts.digest import file_sha256
from ddpm_rt.artifacts.folder_owner import exclusive
from ddpm_rt.artifacts.output_path import check_target
from ddpm_rt.artifacts.plan_record import PlanRecord, pending_path, sidecar_path
from ddpm_rt.stopping import undone_on_stop


def check_pair(plan: Path) -> None:
    """Raises DdpmRtError unless both files can be written."""
    check_target(plan)
    find_target(sidecar_path(plan))
    find_target(pending_path(plan))


def write_pair(plan: Path, content: bytes, record: PlanRecord) -> None:
    """Replace the plan and its record. Raises DdpmRtError, and leaves the old pair, when either cannot be written.

    The record stays at `pending_path`, which `read_plan` also reads, until the plan is renamed.
    """
    check_pair(plan)
    lock = plan.with_name(f".ddpm-rt.{hashlib.sha256(os.fsencode(plan.name)).hexdigest()[:16]}.lock")
    with exclusive(lock), undone_on_stop(lambda: settle_pair(plan)):
        settle_pair(plan)
        try:
            replace_file(pending_path(plan), lambda file: file.write_text(record.to_json(), encoding="utf-8"))
            replace_file(plan, lambda file: file.write_bytes(content))
        finally:
            settle_pair(plan)


def settle_pair(plan: Path) -> None:
    """Finish an interrupted write: rename the pending record if it belongs to the plan, otherwise delete it.

    Raises DdpmRtError when the record cannot be renamed; it then stays pending, where `read_plan` finds it.
    """
    pending, sidecar = pending_path(plan), sidecar_path(plan)
    if not pending.is_file():
        return
    try:
        if not _is_of(pending, plan):
            pending.unlink(missing_ok=True)
        elif sidecar.is_symlink():
            text = pending.read_bytes()
            replace_file(sidecar, lambda file: file.write_bytes(text))
            pending.unlink(missing_ok=True)
        else:
            with suppress(FileNotFoundError):
                os.chmod(pending, stat.S_IMODE(os.stat(sidecar).st_mode))
            os.replace(pending, sidecar)  # a rename needs no free space on the disk
    except OSError as error:
        raise DdpmRtError(f"{sidecar} cannot be written: {error.strerror}") from error


def _is_of(record: Path, plan: Path) -> bool:
    try:
        known = PlanRecord.from_json(record.read_text(encoding="utf-8"), str(record))
        return plan.stat().st_size == known.bytes and file_sha256(plan) == known.sha256
    except (DdpmRtError, OSError, UnicodeDecodeError):
        return False
