"""A line that shows how a fit goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Bar:
    """A callback that shows the progress: by tqdm, which knows notebooks, or as a line on a terminal's stderr."""

    def __init__(self, then: Callable[[Any], object] | None) -> None:
        self._then = then
        self._bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self._tqdm = None
        else:
            self._tqdm = tqdm

    def __enter__(self) -> Bar:
        return self

    def __call__(self, progress: Any) -> object:
        text = f"E {progress.value:.6e}, gradient {progress.gradient_norm:.1e}"
        if self._tqdm is not None:
            if self._bar is None:
                self._bar = self._tqdm(total=progress.max_iter, unit="step")
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(progress.iteration - self._bar.n)
        elif sys.stderr.isatty():
            print(f"\r\x1b[K{progress.iteration}/{progress.max_iter} steps, {text}", end="", file=sys.stderr)
        return self._then(progress) if self._then is not None else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._tqdm is None and sys.stderr.isatty():
            print(file=sys.stderr)
