"""Writing while the disk may be full: a training of hours should not be lost to what a minute of tidying mends."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from framework.core.errors import UserError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = logging.getLogger(__name__)


class DiskFull(UserError):
    """There was no room for too long."""


def is_disk_full(error: OSError) -> bool:
    """Whether a file could not be written for want of room."""
    return error.errno in _FULL


def no_room_for(error: OSError) -> DiskFull:
    """What to tell the user of an `error` for want of room that stopped more than a checkpoint."""
    what = f"{error.filename} cannot be written" if error.filename else "a file cannot be written"
    return DiskFull(f"The disk is full: {what} ({error.strerror}). What was saved before stays. Make room and resume.")


class Writes:
    """Does what writes files, and lives with a full disk.

    Attributes:
        missed_checkpoints: Checkpoints in a row that found no room.
    """

    def __init__(self, *, max_missed_checkpoints: int) -> None:
        self.max_missed_checkpoints = max_missed_checkpoints
        self.missed_checkpoints = 0
        self._missed: set[str] = set()

    def attempt(self, write: Callable[[], object], what: str, *, kind: str | None = None) -> bool:
        """Whether `write` found room; the first time that it does not, and when all has found some again, is told.

        Args:
            write: Writes something.
            what: What that is.
            kind: What it counts as, by default itself: when the next of its kind is written, it is no longer missed.
        """
        try:
            write()
        except OSError as error:
            if not is_disk_full(error):
                raise
            if not self._missed:
                _log.warning("The disk is full: %s cannot be written (%s). Training goes on.", what, error.strerror)
            self._missed.add(kind or what)
            return False
        if self._missed:
            # What writes nothing at this moment finds room on a full disk, too.
            self._missed.discard(kind or what)
            if not self._missed:
                _log.warning("There is room on the disk again: %s is written.", what)
        return True

    def attempt_checkpoint(self, write: Callable[[], object], what: str) -> bool:
        """As `attempt`, for a checkpoint.

        Raises:
            DiskFull: If too many in a row found no room.
        """
        if self.attempt(write, what, kind="checkpoint"):
            self.missed_checkpoints = 0
            return True
        self.missed_checkpoints += 1
        if self.missed_checkpoints > self.max_missed_checkpoints:
            raise DiskFull(
                f"The disk is full, and {what} could not be written, number {self.missed_checkpoints} in a row. "
                "Make room and resume, or raise trainer.max_missed_checkpoints."
            )
        return False
