"""Skips and residual blocks as PyTorch modules that :func:`secondo.from_torch` understands; it needs PyTorch.

Examples
--------
>>> from torch import nn  # doctest: +SKIP
>>> from secondo.torch import Residual, Skip  # doctest: +SKIP
>>> module = nn.Sequential(  # doctest: +SKIP
...     nn.Linear(4, 8), nn.Tanh(),
...     Residual(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))),
...     Skip(nn.Sequential(nn.Linear(8, 3), nn.Tanh())),
...     nn.Linear(8 + 3, 1),
... )
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["Residual", "Skip"]


class Residual(nn.Module):  # type: ignore[misc]
    """x + module(x), where the module ends with a Linear module and keeps the width."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        """Return x + module(x)."""
        return x + self.module(x)


class Skip(nn.Module):  # type: ignore[misc]
    """x and module(x) side by side, x first."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        """Return torch.cat([x, module(x)], dim=-1)."""
        return torch.cat([x, self.module(x)], dim=-1)
