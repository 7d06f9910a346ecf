"""Exact first and second derivatives of feed-forward networks, and Newton-type training with them.

>>> import secondo
>>> network = secondo.Network.dense([1, 3, 1])
>>> problem = secondo.Problem(network, [[0.0], [0.5], [1.0], [1.5]], [0.0, 0.48, 0.84, 1.0], penalty=1e-3)
>>> problem.hessian(network.initial(seed=1)).shape
(10, 10)
>>> problem.minimize(network.initial(seed=1)).success
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._secondo import Progress, State, __version__, activation, adapters
from .blocks import Blocks
from .convert import from_flax, from_keras, from_sklearn, from_state_dict, from_torch, state_dict, to_torch
from .errors import (
    DeviceError,
    Error,
    FileError,
    LinearAlgebraError,
    NonFiniteError,
    OutOfMemoryError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
)
from .inference import Inference, Predictions
from .models import Model, load
from .network import Network, Ties, layer
from .problem import LagrangianPoint, Plan, Problem

if TYPE_CHECKING:
    from .estimators import RBFRegressor, SecondOrderClassifier, SecondOrderRegressor
    from .fit import Fit, minimize, trust_region
    from .operators import CurvatureOperator
    from .plotting import plot_convergence, plot_effects, plot_hessian, plot_predictions, plot_spectrum

__all__ = [
    "Blocks",
    "CurvatureOperator",
    "DeviceError",
    "Error",
    "FileError",
    "Fit",
    "Inference",
    "LagrangianPoint",
    "LinearAlgebraError",
    "Model",
    "Network",
    "NonFiniteError",
    "OutOfMemoryError",
    "Plan",
    "Predictions",
    "Problem",
    "Progress",
    "RBFRegressor",
    "SecondOrderClassifier",
    "SecondOrderRegressor",
    "ShapeError",
    "State",
    "Ties",
    "UnknownNameError",
    "UnsupportedError",
    "__version__",
    "activation",
    "adapters",
    "from_flax",
    "from_keras",
    "from_sklearn",
    "from_state_dict",
    "from_torch",
    "layer",
    "load",
    "minimize",
    "plot_convergence",
    "plot_effects",
    "plot_hessian",
    "plot_predictions",
    "plot_spectrum",
    "state_dict",
    "to_torch",
    "trust_region",
]

#: Names whose modules import SciPy, scikit-learn or Matplotlib, and are imported when they are first used.
_LATER = {
    "CurvatureOperator": "operators",
    "Fit": "fit",
    "RBFRegressor": "estimators",
    "SecondOrderClassifier": "estimators",
    "SecondOrderRegressor": "estimators",
    "minimize": "fit",
    "plot_convergence": "plotting",
    "plot_effects": "plotting",
    "plot_hessian": "plotting",
    "plot_predictions": "plotting",
    "plot_spectrum": "plotting",
    "trust_region": "fit",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'secondo' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return __all__
