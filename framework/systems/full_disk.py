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


class Writes:
    """Does what writes files, and lives with a full disk.

    Attributes:
        missed_checkpoints: Checkpoints in a row that found no room.
    """

    def __init__(self, *, max_missed_checkpoints: int) -> None:
        self.max_missed_checkpoints = max_missed_checkpoints
        self.missed_checkpoints = 0
        self._is_full = False

    def attempt(self, write: Callable[[], object], what: str) -> bool:
        """Whether `write` found room; the first time that it does not, and when it does again, is told."""
        try:
            write()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if not self._is_full:
                _log.warning("The disk is full: %s cannot be written (%s). Training goes on.", what, error.strerror)
            self._is_full = True
            return False
        if self._is_full:
            _log.warning("There is room on the disk again: %s is written.", what)
        self._is_full = False
        return True

    def attempt_checkpoint(self, write: Callable[[], object], what: str) -> bool:
        """As `attempt`, for a checkpoint.

        Raises:
            DiskFull: If too many in a row found no room.
        """
        if self.attempt(write, what):
            self.missed_checkpoints = 0
            return True
        self.missed_checkpoints += 1
        if self.missed_checkpoints > self.max_missed_checkpoints:
            raise DiskFull(
                f"The disk is full, and {what} could not be written, number {self.missed_checkpoints} in a row. "
                "Make room and resume, or raise trainer.max_missed_checkpoints."
            )
        return False
