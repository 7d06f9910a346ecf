"""Figures and tables in notebooks."""

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
    assert "[3-4-3-2]" in problem.network._repr_html_() and "logistic" in problem.network._repr_html_()
    assert "operations" in problem.plan("exact")._repr_html_()
    assert "exact" in problem.linear_operator(w)._repr_html_()
    assert "squared_error" in secondo.Model(problem.network, w)._repr_html_() or "sos" in secondo.Model(problem.network, w)._repr_html_()
    named = problem.inference(problem.minimize(w).x, names=(["a<b", "b", "c"], ["s", "t"]))._repr_html_()
    assert "average slopes" in named and "a&lt;b" in named and "a<b" not in named


def test_progress_in_a_notebook_is_one_line_without_escape_codes():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    cell = nbformat.v4.new_code_cell(
        "import secondo\n"
        "problem = secondo.Problem(secondo.Network.dense([1, 1]), [[1.0], [2.0], [4.0]], [1.0, 2.5, 3.5])\n"
        "fit = problem.minimize([0.0, 0.0], progress=True)"
    )
    book = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    (output,) = cell.outputs
    assert output.output_type == "display_data"
    text = output.data["text/plain"]
    assert "steps" in text and "gradient" in text and text.isprintable()


def test_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    secondo.Problem(secondo.Network.dense([1, 1]), [[1.0], [2.0], [4.0]], [1.0, 2.5, 3.5]).minimize([0.0, 0.0], progress=True)
    shown = capsys.readouterr().err
    assert shown.endswith("\n") and "steps" in shown and "\x1b" not in shown
