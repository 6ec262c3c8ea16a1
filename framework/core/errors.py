"""Errors that a user can act on: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """One fault of a configuration: its dotted path, what is wrong, and the file and line that say it."""

    path: str
    message: str
    location: str | None = None

    def __str__(self) -> str:
        where = f" ({self.location})" if self.location else ""
        return _in_one_line(f"{self.path}: {self.message}{where}" if self.path else f"{self.message}{where}")


class UserError(Exception):
    """A fault of input, settings or surroundings; printed without a traceback, exit status 2."""

    def report(self) -> str:
        """What is printed of it."""
        return f"error: {self}"


class ConfigError(UserError):
    """All problems found in one configuration."""

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        self.problems = [Problem("", problems)] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def report(self) -> str:
        if len(self.problems) == 1:
            return super().report()
        return "\n".join([f"{len(self.problems)} problems:", *(f"  {problem}" for problem in self.problems)])

    def located(self, origin: Callable[[tuple[str, ...]], str | None]) -> ConfigError:
        """The same error; problems that know no place have that of their path."""
        return ConfigError(
            replace(problem, location=problem.location or origin(tuple(problem.path.split("."))))
            for problem in self.problems
        )


class Interrupted(BaseException):
    """The user wants to quit at once; like KeyboardInterrupt, but not swallowed by libraries on the way."""


class MissingBuffer(UserError):
    """A term asked a render for a buffer that it does not hold."""


class BrokenSurface(UserError):
    """Training has left nothing that could be drawn.

    Attributes:
        cause: What is wrong with the surface, without a full stop.
        advice: What to do, in sentences.
    """

    def __init__(self, cause: str, advice: str) -> None:
        self.cause, self.advice = cause, advice
        super().__init__(f"{cause}. {advice}")


class CheckpointError(UserError):
    """A checkpoint that is missing, cut short, or of another configuration."""


def _in_one_line(text: str) -> str:
    """`text` with line ends and other invisible characters, which come from values, as escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """' Did you mean ...?' with the closest option, else the list of what is known, else nothing."""
    known = sorted(options)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(known)}." if known else ""
