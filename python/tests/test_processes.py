"""Threads, child processes, pickling, signals."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import random_problem

import secondo


def test_a_hundred_threads_use_one_problem():
    problem, w = random_problem(n=200, penalty=0.1)
    points = [w + i for i in range(5)]
    right = [(problem.value_and_gradient(p)[1], problem.hessian(p)) for p in points]

    def work(i):
        gradient, hessian = problem.gradient(points[i % 5]), problem.hessian(points[i % 5])
        return np.array_equal(gradient, right[i % 5][0]) and np.array_equal(hessian, right[i % 5][1])

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(work, range(300)))


def test_the_lock_is_released():
    problem, w = random_problem(n=20000, outputs=3)
    ticks, done = 0, threading.Event()

    def tick():
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.perf_counter()
    while time.perf_counter() - begin < 0.5:
        problem.hessian(w)
    done.set()
    thread.join()
    assert ticks > 20


def _gradient(queue, problem, w):
    queue.put((problem.gradient(w), problem.minimize(w, "trust-region").x, problem.hessian(w)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    problem, w = random_problem(n=300, penalty=1.0)
    right = problem.gradient(w), problem.minimize(w, "trust-region").x, problem.hessian(w)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_gradient, args=(queue, problem, w))
    child.start()
    found = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert all(np.array_equal(a, b) for a, b in zip(found, right))


def test_pickling():
    problem, w = random_problem(penalty=0.5, sample_weight=np.arange(20.0), mean=True)
    copy = pickle.loads(pickle.dumps(problem))
    assert np.array_equal(copy.hessian(w), problem.hessian(w)) and copy.network == problem.network
    tied = secondo.Network.dense([1, 1], ties=secondo.Ties([0.0, 0.5], 1, [0], [0]))
    assert np.array_equal(pickle.loads(pickle.dumps(tied)).weights([3.0]), [3.0, 0.5])
    fit = problem.minimize(w, max_iter=2)
    assert np.array_equal(pickle.loads(pickle.dumps(fit)).x, fit.x)
    for error in (secondo.ShapeError("words"), secondo.FileError("words")):
        assert str(pickle.loads(pickle.dumps(error))) == "words"


#: Seconds until an interrupted process has ended, signals being looked for every 50 ms: for a machine that does much else, too.
LIMIT = 5.0


def interrupted(code, after):
    """Runs code in a process of its own, sends it SIGINT when it says so, and returns its output with the seconds it took to end."""
    prelude = "import numpy as np, secondo, time\n"
    child = subprocess.Popen(
        [sys.executable, "-c", prelude + textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n", child.stderr.read()
    time.sleep(after)
    begin = time.perf_counter()
    os.kill(child.pid, signal.SIGINT)
    out, error = child.communicate(timeout=60)
    return out, error, time.perf_counter() - begin


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_fit_and_keeps_its_best_point():
    out, error, seconds = interrupted(
        """
        random = np.random.default_rng(0)
        x = random.normal(size=(5000, 10))
        net = secondo.Network.dense([10, 20, 1])
        problem = secondo.Problem(net, x, random.normal(size=5000), penalty=1e-6)
        w = net.initial(0)
        # Modules that are imported at first use are there before the signal.
        problem.minimize(w, "newton-rows", max_iter=1)
        print("ready", flush=True)
        try:
            problem.minimize(w, "newton-rows", max_iter=10**9, gtol=0.0)
        except KeyboardInterrupt as stop:
            print("kept", stop.fit.fun < problem.value(w), stop.fit.x.shape == w.shape)
        """,
        after=2.0,
    )
    assert "kept True True" in out, error
    assert seconds < LIMIT


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_long_hessian():
    out, error, seconds = interrupted(
        """
        import os
        random = np.random.default_rng(0)
        net = secondo.Network.dense([30, 60, 1])
        problem = secondo.Problem(net, random.normal(size=(100_000, 30)), random.normal(size=100_000))
        w = net.initial(0)
        assert problem.plan("exact").flops > 1e11
        print("ready", flush=True)
        begin = time.perf_counter()
        try:
            problem.hessian(w)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        os._exit(0)
        """,
        after=0.5,
    )
    assert "interrupted" in out, error
    assert seconds < LIMIT


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("given", "work"),
    [
        ("blocks = problem.gauss_newton(w, structure='layer-blocks')", "blocks.eigenvalues()"),
        ("", "problem.inference(w)"),
        ("operator = problem.linear_operator(w)", "operator @ np.ones((len(w), 1000))"),
    ],
)
def test_ctrl_c_ends_what_is_done_with_a_matrix(given, work):
    out, error, seconds = interrupted(
        f"""
        import os
        random = np.random.default_rng(0)
        net = secondo.Network.dense([40, 40, 1])
        problem = secondo.Problem(net, random.normal(size=(3000, 40)), random.normal(size=3000), penalty=1.0)
        w = net.initial(0)
        {given}
        print("ready", flush=True)
        try:
            {work}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        os._exit(0)
        """,
        after=0.1,
    )
    assert "interrupted" in out, (out, error)
    assert seconds < LIMIT
