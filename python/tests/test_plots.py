"""What notebooks show."""

import numpy as np
import pytest
from conftest import random_problem

import secondo

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def test_figures():
    problem, w = random_problem(penalty=0.1)
    fit = problem.minimize(w, "trust-region")
    axes = secondo.plot_convergence(fit)
    assert len(axes.lines[0].get_xdata()) == fit.nit + 1
    hessian = problem.hessian(w)
    axes = secondo.plot_spectrum(hessian)
    assert sum(len(line.get_xdata()) for line in axes.lines) == len(w)
    assert sum(len(line.get_xdata()) for line in secondo.plot_spectrum(problem.hessian(w, structure="row-blocks")).lines) == len(w)
    assert secondo.plot_hessian(hessian, problem.network).images[0].get_array().shape == hessian.shape
    y = np.arange(10.0)
    axes = secondo.plot_predictions(y, y + 1)
    assert secondo.plot_predictions(y, y, ax=axes) is axes
    with pytest.raises(secondo.Error, match="as many"):
        secondo.plot_predictions(y, y[:3])
    x = np.random.default_rng(0).normal(size=(20, 2))
    axes = secondo.plot_effects(lambda x: 2 * x[:, 0], x, points=5)
    found = axes.lines[0].get_ydata()
    assert np.allclose(found, np.linspace(2 * x[:, 0].min(), 2 * x[:, 0].max(), 5)) and np.allclose(axes.lines[1].get_ydata(), np.mean(2 * x[:, 0]))
    matplotlib.pyplot.close("all")


def test_html():
    problem, w = random_problem(penalty=0.1)
    assert "20" in problem._repr_html_() and "<table>" in problem._repr_html_()
    assert "accepted" in problem.minimize(w)._repr_html_()
    assert "unit 0" in problem.hessian(w, structure="row-blocks")._repr_html_()
    assert "samples" in repr(problem) and "parameters" in repr(problem.network)
