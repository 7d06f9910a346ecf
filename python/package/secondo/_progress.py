"""A line that shows how a fit goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any

#: The seconds between two looks of the line: a choice.
PAUSE = 0.1


class Bar:
    """A callback that shows the progress as one line: in a notebook's output, or on a terminal's stderr, without escape codes."""

    def __init__(self, then: Callable[[Any], object] | None) -> None:
        self._then = then
        self._shown = -PAUSE
        self._line = ""
        self._handle: Any = None
        self._is_terminal = sys.stderr.isatty()
        # IPython is loaded where it runs; its kernel shows in a browser, its terminal is one.
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        self._is_notebook = shell is not None and hasattr(shell, "kernel")

    def __enter__(self) -> Bar:
        return self

    def __call__(self, progress: Any) -> object:
        steps = f"{progress.iteration}/{progress.max_iter} steps, {progress.elapsed:.1f} s"
        before, self._line = self._line, f"{steps}, E {progress.value:.6e}, gradient {progress.gradient_norm:.1e}"
        if time.monotonic() - self._shown >= PAUSE:
            self._show(before)
        return self._then(progress) if self._then is not None else None

    def _show(self, before: str, end: str = "") -> None:
        self._shown = time.monotonic()
        if self._is_notebook:
            shown = {"text/plain": self._line}
            if self._handle is None:
                self._handle = import_module("IPython.display").display(shown, raw=True, display_id=True)
            else:
                self._handle.update(shown, raw=True)
        elif self._is_terminal:
            print(f"\r{self._line:<{len(before)}}", end=end, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line:
            self._show(self._line, end="\n")
