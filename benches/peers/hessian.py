#!/usr/bin/env python3
"""The work of benches/hessian.rs in PyTorch and, where it can be imported, JAX: full Hessians and Gauss-Newton matrices, gradients
and Hessian-vector products of dense tanh networks in f64 on the processor, the best of several formulations of each.

    python benches/peers/hessian.py [--ours FILE.json] [--only '[10-16-1]']

FILE.json is what `cargo bench --bench hessian -- --json FILE.json` wrote on the same machine; the table then has both.
"""
import argparse
import json
import statistics
import time

import torch

try:
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None

MATRICES = [((10, 16, 1), "sos", 442), ((30, 20, 1), "bce_logits", 569), ((64, 32, 10), "softmax_ce", 1797), ((8, 64, 64, 1), "sos", 4096),
            ((10, 32, 32, 32, 1), "sos", 4096)]
PRODUCTS = [((32, 64, 1), 10_000), ((64, 256, 10), 10_000)]


def seconds(f, about=1.0):
    """Median of at least 3 calls, or as many as about a second takes, after one to warm up."""
    f()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or (len(times) < 101 and time.perf_counter() - begin < about):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def shapes(widths):
    return [((o, i), (o,)) for i, o in zip(widths, widths[1:])]


class Torch:
    def __init__(self, widths, loss, n):
        self.widths, self.loss = widths, loss
        generator = torch.Generator().manual_seed(1)
        draw = lambda *s: torch.rand(*s, generator=generator, dtype=torch.float64) * 2 - 1
        self.x = draw(n, widths[0])
        out = widths[-1]
        self.y = {"sos": lambda: draw(n, out), "bce_logits": lambda: (torch.arange(n) % 2).double()[:, None],
                  "softmax_ce": lambda: torch.arange(n) % out}[loss]()
        self.w = draw(sum(o * i + o for (o, i), _ in shapes(widths))) * 0.3

    def outputs(self, w, x):
        at = 0
        for k, ((o, i), _) in enumerate(shapes(self.widths)):
            x = torch.nn.functional.linear(x, w[at:at + o * i].view(o, i), w[at + o * i:at + o * i + o])
            at += o * i + o
            if k < len(self.widths) - 2:
                x = torch.tanh(x)
        return x

    def criterion(self, f, y):
        if self.loss == "sos":
            return 0.5 * ((f - y) ** 2).sum()
        if self.loss == "bce_logits":
            return torch.nn.functional.binary_cross_entropy_with_logits(f, y, reduction="sum")
        return torch.nn.functional.cross_entropy(f, y, reduction="sum")

    def objective(self, w):
        return self.criterion(self.outputs(w, self.x), self.y)

    def hessians(self):
        from torch.func import hessian, jacrev
        yield "hessian", lambda: hessian(self.objective)(self.w)
        yield "jacrev(jacrev)", lambda: jacrev(jacrev(self.objective))(self.w)
        yield "jacrev(jacrev), chunks of 64", lambda: jacrev(jacrev(self.objective), chunk_size=64)(self.w)
        yield "autograd.functional.hessian", lambda: torch.autograd.functional.hessian(self.objective, self.w, vectorize=True)

    def gauss_newtons(self):
        from torch.func import jacrev, vmap
        if self.widths[-1] != 1:
            return
        def per_sample():
            j = vmap(jacrev(lambda w, x: self.outputs(w, x)[0]), (None, 0))(self.w, self.x)
            f = self.outputs(self.w, self.x)[:, 0]
            g = torch.ones_like(f) if self.loss == "sos" else torch.sigmoid(f) * (1 - torch.sigmoid(f))
            return j.T @ (g[:, None] * j)
        yield "vmap(jacrev), JtGJ", per_sample

    def gradient(self):
        w = self.w.clone().requires_grad_()
        return lambda: torch.autograd.grad(self.objective(w), w)[0]

    def products(self, count):
        from torch.func import grad, jvp, vmap
        v = torch.rand(count, len(self.w), dtype=torch.float64)
        along = lambda v: jvp(grad(self.objective), (self.w,), (v,))[1]
        if count == 1:
            yield "jvp(grad)", lambda: along(v[0])
        else:
            yield "vmap(jvp(grad))", lambda: vmap(along)(v)
            yield "vmap(jvp(grad)), chunks of 8", lambda: vmap(along, chunk_size=8)(v)
            yield "jvp(grad) one by one", lambda: [along(v) for v in v]
        w = self.w.clone().requires_grad_()
        def double():
            g = torch.autograd.grad(self.objective(w), w, create_graph=True)[0]
            return [torch.autograd.grad(g, w, v, retain_graph=True)[0] for v in v]
        yield "double backward", double


class Jax:
    def __init__(self, widths, loss, n):
        t = Torch(widths, loss, n)
        self.widths, self.loss = widths, loss
        self.x, self.y, self.w = (jnp.asarray(a.numpy()) for a in (t.x, t.y, t.w))

    def outputs(self, w, x):
        at = 0
        for k, ((o, i), _) in enumerate(shapes(self.widths)):
            x = x @ w[at:at + o * i].reshape(o, i).T + w[at + o * i:at + o * i + o]
            at += o * i + o
            if k < len(self.widths) - 2:
                x = jnp.tanh(x)
        return x

    def objective(self, w):
        f = self.outputs(w, self.x)
        if self.loss == "sos":
            return 0.5 * jnp.sum((f - self.y) ** 2)
        if self.loss == "bce_logits":
            return jnp.sum(jax.nn.softplus(f) - self.y * f)
        return jnp.sum(jax.nn.logsumexp(f, axis=1) - jnp.take_along_axis(f, self.y[:, None], 1)[:, 0])

    def compiled(self, f, *arguments):
        run = jax.jit(f)
        return lambda: run(*arguments).block_until_ready()

    def hessians(self):
        yield "hessian", self.compiled(jax.hessian(self.objective), self.w)
        yield "jacrev(jacrev)", self.compiled(jax.jacrev(jax.jacrev(self.objective)), self.w)
        along = lambda w, v: jax.jvp(jax.grad(self.objective), (w,), (v,))[1]
        identity = jnp.eye(len(self.w))
        yield "map of jvp(grad)", self.compiled(lambda w: jax.lax.map(lambda v: along(w, v), identity, batch_size=64), self.w)

    def gauss_newtons(self):
        if self.widths[-1] != 1:
            return
        def whole(w):
            j = jax.vmap(jax.jacrev(lambda w, x: self.outputs(w, x)[0]), (None, 0))(w, self.x)
            f = self.outputs(w, self.x)[:, 0]
            g = jnp.ones_like(f) if self.loss == "sos" else jax.nn.sigmoid(f) * (1 - jax.nn.sigmoid(f))
            return j.T @ (g[:, None] * j)
        yield "vmap(jacrev), JtGJ", self.compiled(whole, self.w)

    def gradient(self):
        return self.compiled(jax.grad(self.objective), self.w)

    def products(self, count):
        v = jnp.asarray(np.random.default_rng(1).random((count, len(self.w))))
        along = lambda w, v: jax.jvp(jax.grad(self.objective), (w,), (v,))[1]
        if count == 1:
            yield "jvp(grad)", self.compiled(along, self.w, v[0])
            # The states at w are kept; what keeping them took is not timed.
            yield "linearize(grad)", self.compiled(jax.linearize(jax.grad(self.objective), self.w)[1], v[0])
        else:
            yield "vmap(jvp(grad))", self.compiled(jax.vmap(along, (None, 0)), self.w, v)
            yield "map of jvp(grad)", self.compiled(lambda w, v: jax.lax.map(lambda v: along(w, v), v), self.w, v)


def best(libraries, formulations):
    """The fastest formulation of all libraries: its name and seconds."""
    found = []
    for name, library in libraries:
        for formulation, run in formulations(library):
            try:
                found.append((seconds(run), f"{name} {formulation}"))
            except (RuntimeError, MemoryError, ValueError) as error:
                print(f"    {name} {formulation}: {str(error).splitlines()[0][:80]}")
    return min(found) if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours")
    parser.add_argument("--only")
    options = parser.parse_args()
    ours = {}
    if options.ours:
        with open(options.ours) as file:
            ours = {(r["name"], r["what"]): r["seconds"] for r in json.load(file)}
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads" + (f", JAX {jax.__version__}" if jax else ", no JAX"))
    print("| case | what | fastest peer | ms | ours, ms | times |\n|:--|:--|:--|--:|--:|--:|")

    def row(name, what, found):
        if found:
            mine = ours.get((name, what))
            end = f"{1e3 * mine:.3g} | {found[0] / mine:.1f}" if mine else " | "
            print(f"| {name} | {what} | {found[1]} | {1e3 * found[0]:.3g} | {end} |", flush=True)

    def libraries(*problem):
        return [("torch", Torch(*problem))] + ([("jax", Jax(*problem))] if jax else [])

    title = lambda widths: "[" + "-".join(map(str, widths)) + "]"
    for widths, loss, n in MATRICES:
        if options.only and options.only != title(widths):
            continue
        name, both = f"{title(widths)} {loss} n={n}", libraries(widths, loss, n)
        row(name, "Gauss–Newton, full", best(both, lambda l: l.gauss_newtons()))
        row(name, "exact Hessian, full", best(both, lambda l: l.hessians()))
    for widths, n in PRODUCTS:
        if options.only and options.only != title(widths):
            continue
        name, both = f"{title(widths)} n={n}", libraries(widths, "sos", n)
        row(name, "gradient", best(both, lambda l: [("grad", l.gradient())]))
        row(name, "1 exact product", best(both, lambda l: l.products(1)))
        row(name, "32 exact products", best(both, lambda l: l.products(32)))


if __name__ == "__main__":
    main()
