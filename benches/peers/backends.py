#!/usr/bin/env python3
"""The work of benches/backends.rs in PyTorch and, where it can be imported, JAX: weighted Gram matrices
B_j = sum_i c_ij z_i z_i^T, and the exact row blocks of a network with one hidden layer.

On CUDA where there is a device, else on the processor. Every formulation in f32 and f64, on CUDA in f32 with TF32 off and on. Each
is timed until the device is done, and again until the result is on the host; uploads are not timed. FLOP/s count what one triangle
needs, n d (d + 1) s. Before it is timed, each formulation is compared with f64 on a slice. The ceiling is one large matrix product.

    python benches/peers/backends.py [--sizes 4096,257,64 ...] [--network 784,64,10,60000] [--output FILE.json]
"""
import argparse
import json
import os
import statistics
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take the memory that PyTorch needs

import torch

import gram

try:
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
TYPES = {"f32": torch.float32, "f64": torch.float64}
# Precision with TF32 on or off; a processor has no TF32.
MODES = [("f32", False)] + ([("f32", True)] if CUDA else []) + [("f64", False)]
# The largest error on the slice, relative to the largest entry.
TOLERANCE = {("f32", False): 1e-5, ("f32", True): 1e-2, ("f64", False): 1e-12}
SIZES = [(1_000_000, 8, 1), (100_000, 9, 8), (100_000, 33, 16), (10_000, 33, 64), (65_536, 65, 16), (16_384, 129, 64),
         (4_096, 257, 64), (2_048, 785, 64)]
LARGE = [(1_000_000, 33, 64), (60_000, 785, 64)]


def wait():
    if CUDA:
        torch.cuda.synchronize()


def seconds(f, about):
    """Median and minimum of the calls that fit into about so many seconds, at least 3 and at most 25, after one to warm up."""
    times, begin = [], None
    while begin is None or len(times) < 3 or (len(times) < 25 and time.perf_counter() - begin < about):
        wait()
        start = time.perf_counter()
        f()
        end = time.perf_counter()
        if begin is None:
            begin = end
        else:
            times.append(end - start)
    return {"median": statistics.median(times), "min": min(times)}


def numbers(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def gram_of(z, c):
    return torch.einsum("ij,ia,ib->jab", c, z, z)


def coefficients(z, v, u, y):
    """c of the hidden layer's exact row blocks: tanh units, linear outputs with constants, squared error."""
    s = v.shape[0]
    h = torch.tanh(z @ v.T)
    h1 = 1 - h * h
    residual = h @ u[:, :s].T + u[:, s] - y
    return h, h1 * h1 * (u[:, :s] ** 2).sum(0) - 2 * h * h1 * (residual @ u[:, :s])


def output_block(h):
    """The one matrix that all linear outputs share."""
    h = torch.cat([h, torch.ones_like(h[:, :1])], 1)
    return h.T @ h


def network(widths, n):
    """z with the constant, weights of both layers, targets."""
    d, s, o = widths
    z = torch.cat([numbers(n, d), torch.ones(n, 1, dtype=torch.float64)], 1)
    return z, numbers(s, d + 1) / d ** 0.5, numbers(o, s + 1) / s ** 0.5, numbers(n, o)


def check_coefficients():
    """A row block by automatic differentiation."""
    z, v, u, y = network((5, 3, 2), 20)

    def objective(row):
        h = torch.tanh(z @ torch.cat([row[None], v[1:]]).T)
        return 0.5 * ((torch.cat([h, torch.ones_like(h[:, :1])], 1) @ u.T - y) ** 2).sum()

    right = torch.func.hessian(objective)(v[0])
    assert torch.allclose(gram_of(z, coefficients(z, v, u, y)[1])[0], right)


def error(found, right):
    """Of the lower triangles: not all formulations write more, and some write packed."""
    rows, columns = torch.tril_indices(*right.shape[1:])
    right = right[:, rows, columns]
    found = found if found.ndim == 2 else found[:, rows, columns]
    return ((found - right).abs().max() / right.abs().max()).item()


class Torch:
    name = "PyTorch"

    def __init__(self, precision, tf32):
        self.dtype = TYPES[precision]
        torch.backends.cuda.matmul.allow_tf32 = tf32

    def upload(self, array):
        return array.to(device=DEVICE, dtype=self.dtype)

    def grams(self, z, c):
        """Pairs of a name and a function of z and c."""
        for name, f, possible in gram.formulations(z, c):
            if possible:
                out = None if name == "Khatri-Rao" else torch.empty(c.shape[1], *2 * z.shape[1:], dtype=z.dtype, device=z.device)
                yield name, lambda z, c, f=f, out=out: self.call(f, z, c, out)

    @staticmethod
    def call(f, z, c, out):
        result = f(z, c, out)
        return result if result is not None else f.out if out is None else out

    def row_blocks(self, f):
        def blocks(z, v, u, y):
            h, c = coefficients(z, v, u, y)
            return f(z, c), output_block(h)
        return blocks

    @staticmethod
    def wait(_):
        wait()

    @staticmethod
    def host(result):
        return [r.cpu() for r in result]


class Jax:
    name = "JAX"

    def __init__(self, precision, tf32):
        self.dtype = {"f32": "float32", "f64": "float64"}[precision]
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")
        jax.clear_caches()

    def upload(self, array):
        return jnp.asarray(array.numpy(), dtype=self.dtype)

    def grams(self, z, c):
        each = z.size * z.dtype.itemsize
        product = lambda z, c: (z * c[:, None]).T @ z
        if each * c.shape[1] <= 2 * gram.MEMORY:  # scaled copies of all units
            yield "einsum", jax.jit(lambda z, c: jnp.einsum("ij,ia,ib->jab", c, z, z))
            yield "vmap", jax.jit(lambda z, c: jax.vmap(product, (None, 1))(z, c))
        yield "one unit at a time", jax.jit(lambda z, c: jax.lax.map(lambda c: product(z, c), c.T))

    def row_blocks(self, f):
        def blocks(z, v, u, y):
            s = v.shape[0]
            h = jnp.tanh(z @ v.T)
            h1 = 1 - h * h
            residual = h @ u[:, :s].T + u[:, s] - y
            c = h1 * h1 * (u[:, :s] ** 2).sum(0) - 2 * h * h1 * (residual @ u[:, :s])
            h = jnp.concatenate([h, jnp.ones_like(h[:, :1])], 1)
            return f(z, c), h.T @ h
        return jax.jit(blocks)

    @staticmethod
    def wait(result):
        jax.block_until_ready(result)

    @staticmethod
    def host(result):
        return [torch.from_numpy(np.array(r)) for r in result]


def sides():
    """Every library in every precision."""
    for precision, tf32 in MODES:
        for library in [Torch] + ([Jax] if jax and (not CUDA or jax.default_backend() == "gpu") else []):
            yield library(precision, tf32), {"peer": library.name, "precision": precision, "tf32": tf32}


def measure(side, record, functions, data, small, right, flops, about):
    """One record for each formulation; `functions` makes them for given arrays."""
    inputs = [side.upload(a) for a in data]
    slices = [side.upload(a) for a in small]
    checks = dict(functions(*slices))
    for name, f in functions(*inputs):
        found = [side.host(checks[name](*slices))[0].double()] if name in checks else []
        errors = [error(g, right) for g in found]
        assert all(e < TOLERANCE[record["precision"], record["tf32"]] for e in errors), (record, name, errors)
        try:
            yield {**record, "formulation": name, "flops": flops, "error": max(errors, default=None),
                   "done": seconds(lambda: side.wait(f(*inputs)), about),
                   "on_host": seconds(lambda: side.host(f(*inputs)), about)}
        except (RuntimeError, MemoryError) as reason:  # most likely out of memory
            print(f"left out: {record} {name}: {str(reason).splitlines()[0]}")


def gram_records(n, d, s, about):
    z, c = numbers(n, d), numbers(n, s)
    small = z[:128], c[:128, :4]
    right = gram_of(*small)
    for side, record in sides():
        functions = lambda z, c: ((name, lambda z, c, f=f: (f(z, c),)) for name, f in side.grams(z, c))
        yield from measure(side, {**record, "n": n, "d": d, "s": s}, functions, (z, c), small, right, n * d * (d + 1) * s, about)


def row_block_records(widths, n, about):
    check_coefficients()
    z, v, u, y = network(widths, n)
    small = z[:128], v[:4], u[:, -5:], y[:128]
    right = gram_of(small[0], coefficients(*small)[1])
    d, s = widths[0] + 1, widths[1]
    for side, record in sides():
        def functions(z, v, u, y):
            stand_in = side.upload(torch.zeros(z.shape[0], v.shape[0]))
            return ((name, side.row_blocks(f)) for name, f in side.grams(z, stand_in))
        place = {"network": list(widths), "n": n}
        yield from measure(side, {**record, **place}, functions, (z, v, u, y), small, right, n * d * (d + 1) * s, about)


def ceilings(about):
    k = 8192 if CUDA else 2048
    for precision, tf32 in MODES:
        side = Torch(precision, tf32)
        a, b = side.upload(numbers(k, k)), side.upload(numbers(k, k))
        out = torch.empty_like(a)

        def product():
            torch.mm(a, b, out=out)
            wait()
        yield {"precision": precision, "tf32": tf32, "size": k, "flops": 2 * k ** 3, "done": seconds(product, about)}


def mode(r):
    return r["precision"] + (", TF32" if r["tf32"] else "")


def rate(r, which="done"):
    return r["flops"] / r[which]["median"] / 1e9


def digits(value):
    """Three of them."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def figures(r):
    return " | ".join([digits(1e3 * r[w][k]) for w in ("done", "on_host") for k in ("median", "min")]
                      + [digits(rate(r)), f"{r['error']:.0e}"])


def markdown(data):
    yield "# Peers\n"
    yield f"- {data['device']}, {data['threads']} threads of the processor {data['cpu']}"
    yield f"- PyTorch {data['torch']}" + (f", JAX {data['jax']} on {data['jax_backend']}" if data["jax"] else ", no JAX") + "\n"
    yield "Milliseconds, useful GFLOP/s at the median until the device is done, largest relative error on a slice.\n"
    yield "## One matrix product\n\n| | size | median | min | GFLOP/s |\n|:--|--:|--:|--:|--:|"
    for r in data["ceiling"]:
        yield f"| {mode(r)} | {r['size']} | {digits(1e3 * r['done']['median'])} | {digits(1e3 * r['done']['min'])} | {digits(rate(r))} |"
    columns = "precision | peer | formulation | median | min | on host: median | min | GFLOP/s | error |\n"
    rule = ":--|:--|:--|--:|--:|--:|--:|--:|--:|"
    yield f"\n## Gram matrices\n\n| n | d | s | {columns}|--:|--:|--:|{rule}"
    for r in data["gram"]:
        yield f"| {r['n']} | {r['d']} | {r['s']} | {mode(r)} | {r['peer']} | {r['formulation']} | {figures(r)} |"
    yield f"\n## Row blocks\n\n| network | n | {columns}|:--|--:|{rule}"
    for r in data["row_blocks"]:
        yield f"| {r['network']} | {r['n']} | {mode(r)} | {r['peer']} | {r['formulation']} | {figures(r)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", nargs="*", help="n,d,s instead of the built-in list")
    parser.add_argument("--network", default="784,64,10,60000" if CUDA else "784,64,10,2000", help="inputs,units,outputs,n")
    parser.add_argument("--threads", type=int, help="of the processor; default PyTorch's")
    parser.add_argument("--seconds", type=float, default=0.5, help="about, for each time")
    parser.add_argument("--output", help="where the numbers go, as JSON")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = [tuple(map(int, x.split(","))) for x in args.sizes] if args.sizes else SIZES + (LARGE if CUDA else [])
    *widths, n = map(int, args.network.split(","))
    # Beyond this a processor would take an hour over all formulations.
    possible = lambda n, d, s: CUDA or n * d * d * s < 1e11
    data = {
        "cpu": gram.cpu(),
        "threads": torch.get_num_threads(),
        "cuda": CUDA,
        "device": torch.cuda.get_device_name() if CUDA else "processor",
        "torch": torch.__version__,
        "jax": jax and jax.__version__,
        "jax_backend": jax and jax.default_backend(),
        "ceiling": list(ceilings(args.seconds)),
        "gram": [r for size in sizes if possible(*size) for r in gram_records(*size, args.seconds)],
        "row_blocks": list(row_block_records(tuple(widths), n, args.seconds)) if possible(n, *widths[:2]) else [],
    }
    print("\n".join(markdown(data)))
    if args.output:
        with open(args.output, "w") as file:
            json.dump(data, file, indent=1)


if __name__ == "__main__":
    main()
