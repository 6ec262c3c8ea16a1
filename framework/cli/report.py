"""The report of a run: written when the run ends, refreshed by what looks at it again, and anew by `--report`."""

from __future__ import annotations

import argparse
import logging

from framework.core.errors import ConfigError, UserError
from framework.core.run_directory import RunDirectory

_log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> int:
    """Write the report of `--run` anew; returns the exit status.

    Raises:
        UserError: If there is no such run, or the report cannot be written.
    """
    from framework.report.page import write_report

    if options.run is None:
        raise ConfigError("--run is missing: name the run folder, such as --run outputs/dreamfusion/a-snowman@...")
    directory = RunDirectory.open(options.run)
    try:
        print(write_report(directory))
    except OSError as error:
        raise UserError(f"{directory.report}: cannot be written ({error.strerror or error}).") from error
    return 0


def refresh(directory: RunDirectory) -> bool:
    """Write the report of a run; returns whether that went well.

    Whatever goes wrong is one warning: a run must not fail because of the page about it.
    """
    try:
        from framework.report.page import write_report

        write_report(directory)
    except Exception as error:
        cause = " ".join(str(error).split()) or "no message"
        _log.warning("The report could not be written (%s: %s). Try again: --report", type(error).__name__, cause)
        _log.debug("The cause in full:", exc_info=True)
        return False
    return True
