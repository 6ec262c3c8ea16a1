"""Jobs of the scheduler SLURM that run out of time: saved, queued again, and continued by the same command.

The conventions are Lightning's: a job is one that `srun` has started and that is not called `bash` or `interactive`; SIGUSR1
(`sbatch --signal=SIGUSR1@120`) says that its time is nearly up; it is put back into the queue by `scontrol requeue`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess

SIGNAL = signal.SIGUSR1
"""What SLURM is asked to send before a job's time is up."""
STOPPED = 128 + SIGNAL
"""Exit status of a process that it has stopped."""
_INTERACTIVE = ("bash", "interactive")
_log = logging.getLogger(__name__)


def job() -> str | None:
    """The SLURM job that this process belongs to, such as 1234 or 1234_5 in an array; None outside of one."""
    names = os.environ
    if "SLURM_NTASKS" not in names or names.get("SLURM_JOB_NAME") in _INTERACTIVE:
        return None
    if "SLURM_ARRAY_JOB_ID" in names:
        return f"{names['SLURM_ARRAY_JOB_ID']}_{names.get('SLURM_ARRAY_TASK_ID', '0')}"
    return names.get("SLURM_JOB_ID")


def is_restarted() -> bool:
    """Whether this process belongs to a job that was put back into the queue before."""
    return job() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def requeue() -> None:
    """Put the job back into the queue, from its first process; a failure is a warning."""
    name = job()
    if name is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    command = ["scontrol", "requeue", name]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        said = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        cause = said if answer.returncode else None
    except OSError as error:
        cause = str(error.strerror)
    if cause is not None:
        _log.warning("'%s' failed (%s). Submit the job again with resume=last.", " ".join(command), cause)
    else:
        _log.info("SLURM job %s is in the queue again.", name)
