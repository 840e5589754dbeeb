"""Running code that is not this project's: what it prints and what it raises."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

from strategies.strategy import StrategyError, hook_at


@contextlib.contextmanager
def foreign(prefix: str, expected: str = "") -> Iterator[None]:
    """What is printed inside goes to standard error, not into an answer; what is raised names the innermost hook.

    Raises ``StrategyError`` for whatever is raised but an interruption and the end of memory; it begins with ``prefix``
    if no hook was reached.
    """
    with contextlib.ExitStack() as stack:
        out = sys.stderr if sys.stderr is not None else stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(out))
        try:
            yield
        except (StrategyError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:
            hook = _raised_at(error)
            where = f"{hook}: raised" if hook else prefix
            what = f"{type(error).__name__}: {error}{expected and f'; expected {expected}'}"
            raise StrategyError(f"{where} {what}") from error


def _raised_at(error: BaseException) -> str | None:
    """File, hook and line of the innermost hook that an exception came through."""
    places = [hook_at(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next(filter(None, reversed(places)), None)
