"""Shared by the tests."""

import json
from pathlib import Path

import numpy as np
import pytest

import secondo

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = sorted((ROOT / "tests/data/derivs").glob("*.json"))


def relative(found, right):
    """The largest error in units of the largest entry."""
    found, right = np.asarray(found), np.asarray(right)
    assert found.shape == right.shape
    return np.max(np.abs(found - right), initial=0.0) / max(np.max(np.abs(right), initial=0.0), 1e-300)


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def reference(request):
    """A stored problem with its derivatives by JAX."""
    return json.loads(request.param.read_text())


def random_problem(seed=0, n=20, outputs=2, **options):
    random = np.random.default_rng(seed)
    network = secondo.Network(
        3,
        [
            secondo.layer(4, "tanh"),
            secondo.layer(3, "logistic", sources=[0, 1]),
            secondo.layer(outputs, "identity", sources=[0, 2]),
        ],
    )
    x, y = random.normal(size=(n, 3)), random.normal(size=(n, outputs))
    problem = secondo.Problem(network, x, y, **options)
    return problem, random.normal(size=network.parameters)
