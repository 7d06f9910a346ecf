#!/usr/bin/env python3
"""Weighted Gram matrices B_j = sum_i c_ij z_i z_i^T: this crate beside the best PyTorch formulation of the same sums.

The crate's program (examples/gram_rates.rs) and PyTorch take turns, shape by shape, in several rounds; each side's time is the best of
all its calls. PyTorch writes its sums in the input type, this crate adds to f64. Rates count 2 n d^2 s flops, whatever part of them a
formulation really does. Every shape is printed.

    python benches/peers/gram.py [--program target/release/examples/gram_rates] [--threads 2] [--rounds 2] [--quick] [--markdown FILE]
"""
import argparse
import datetime
import os
import platform
import subprocess
import sys
import time

import torch

GIB = 1 << 30
MEMORY = 1 * GIB  # what an intermediate of PyTorch's may take


def units_at_once(each, s):
    """Units, or samples, of which each takes so many bytes."""
    return max(1, min(s, MEMORY // max(each, 1)))


def einsum(z, c, out):
    """In chunks of samples where the scaled copies of all units would take more than twice MEMORY."""
    n, d = z.shape
    chunk = units_at_once(d * c.shape[1] * z.element_size() // 2, n)
    if chunk == n:
        return torch.einsum("ij,ia,ib->jab", c, z, z)
    out.zero_()
    for i in range(0, n, chunk):
        out += torch.einsum("ij,ia,ib->jab", c[i:i + chunk], z[i:i + chunk], z[i:i + chunk])


def batched(z, c, out):
    """bmm of Z^T with a scaled copy of Z for each unit."""
    n, d = z.shape
    s = c.shape[1]
    k = units_at_once(n * d * z.element_size(), s)
    zt = z.t()
    for j in range(0, s, k):
        scaled = c[:, j:j + k].t().unsqueeze(2) * z
        torch.bmm(zt.expand(scaled.shape[0], d, n), scaled, out=out[j:j + k])


def per_unit(z, c, out):
    zt = z.t()
    for j in range(c.shape[1]):
        torch.mm(zt, c[:, j:j + 1] * z, out=out[j])


def triangle(z, c, out, width):
    """One product per unit and block of columns, rows from the diagonal down."""
    zt = z.t()
    for j in range(c.shape[1]):
        scaled = c[:, j:j + 1] * z
        for b in range(0, z.shape[1], width):
            torch.mm(zt[b:], scaled[:, b:b + width], out=out[j, b:, b:b + width])


class KhatriRao:
    """C^T K, K the distinct products z_a z_b, in chunks of samples. Output packed."""

    def __init__(self, z, c):
        d = z.shape[1]
        self.a, self.b = torch.tril_indices(d, d, device=z.device)
        self.out = torch.empty(c.shape[1], len(self.a), dtype=z.dtype, device=z.device)
        each = len(self.a) * z.element_size()
        # A processor wants a chunk in its cache, an accelerator long products.
        self.chunk = max(64, min(2048, (8 << 20) // each)) if z.device.type == "cpu" else max(64, MEMORY // each)

    def __call__(self, z, c, _):
        self.out.zero_()
        for i in range(0, z.shape[0], self.chunk):
            zi = z[i:i + self.chunk]
            k = zi.index_select(1, self.a) * zi.index_select(1, self.b)
            self.out.addmm_(c[i:i + self.chunk].t(), k)


def formulations(z, c):
    d = z.shape[1]
    yield "einsum", einsum, True
    yield "batched", batched, True
    yield "per unit", per_unit, True
    for width in (64, 128, 256):
        yield f"triangle {width}", lambda z, c, out, width=width: triangle(z, c, out, width), d > width
    yield "Khatri-Rao", KhatriRao(z, c), True


def best(f, seconds, least=2):
    begin, times = time.perf_counter(), []
    while len(times) < least or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
        if times[-1] > 4 * seconds:
            break
    return min(times)


def agree(z, c):
    """All formulations give the same sums, on a small part."""
    z, c = z[:64, :].double(), c[:64, :4].double()
    d = z.shape[1]
    reference = torch.einsum("ij,ia,ib->jab", c, z, z)
    for name, f, _ in formulations(z, c):
        out = torch.zeros(c.shape[1], d, d, dtype=z.dtype)
        result = f(z, c, out)
        out = out if result is None else result
        rows, columns = torch.tril_indices(d, d)
        got = f.out if isinstance(f, KhatriRao) else out[:, rows, columns]
        assert torch.allclose(got, reference[:, rows, columns]), name


def torch_times(n, d, s, kind, seconds, only=None):
    dtype = {"f32": torch.float32, "f64": torch.float64}[kind]
    z, c = torch.rand(n, d, dtype=dtype) * 2 - 1, torch.rand(n, s, dtype=dtype) * 2 - 1
    agree(z, c)
    out = torch.empty(s, d, d, dtype=dtype)
    times = {}
    for name, f, possible in formulations(z, c):
        if possible and (only is None or name in only):
            times[name] = best(lambda: f(z, c, out), seconds)
    return times


def our_times(program, shape, threads):
    text = subprocess.run([program, ",".join(map(str, shape))], check=True, capture_output=True, text=True,
                          env={**os.environ, "RAYON_NUM_THREADS": str(threads)}).stdout
    return {line.split(",")[3]: float(line.split(",")[4]) for line in text.splitlines()}


def shapes(quick):
    named = [(100, 11, 8), (10000, 33, 64), (4096, 257, 64), (2048, 785, 64), (100000, 33, 16), (1000000, 9, 8)]
    if quick:
        return named
    grid = []
    for d in (9, 33, 65, 129, 257, 785):
        for s in (1, 4, 16, 64, 256):
            grid.append((min(1_000_000, max(256, 2_000_000_000 // (d * d * s))), d, s))
    return named + grid


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/examples/gram_rates")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.2, help="per formulation and round")
    parser.add_argument("--quick", action="store_true", help="the six named shapes only")
    parser.add_argument("--shapes", nargs="*", help="n,d,s instead of the built-in list")
    parser.add_argument("--markdown")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    table = []
    chosen = [tuple(map(int, x.split(","))) for x in args.shapes] if args.shapes else shapes(args.quick)
    for n, d, s in chosen:
        ours, peers = {}, {"f32": {}, "f64": {}}
        for round_number in range(args.rounds):
            for kind, seconds in our_times(args.program, (n, d, s), args.threads).items():
                ours[kind] = min(seconds, ours.get(kind, seconds))
            for kind, times in peers.items():
                # The second round and later: what could still become the best.
                only = None if round_number == 0 else {f for f, t in times.items() if t < 1.5 * min(times.values())}
                for f, t in torch_times(n, d, s, kind, args.seconds, only).items():
                    times[f] = min(t, times.get(f, t))
        flops = 2 * n * d * d * s / 1e9
        row = [n, d, s]
        for kind in ("f32", "f64"):
            for f, t in sorted(peers[kind].items(), key=lambda x: x[1]):
                print(f"#   {n} {d} {s} {kind} {f:12} {flops / t:8.1f} Gflop/s", file=sys.stderr)
            name, t = min(peers[kind].items(), key=lambda x: x[1])
            row += [flops / ours[kind], flops / t, name, t / ours[kind]]
        table.append(row)
        print("{:8} {:4} {:4} | {:7.1f} {:7.1f} {:12} {:6.2f} | {:7.1f} {:7.1f} {:12} {:6.2f}".format(*row), flush=True)

    if args.markdown:
        with open(args.markdown, "w") as file:
            file.write("# Weighted Gram matrices\n\n")
            file.write(f"{datetime.date.today()}, {cpu()}, {args.threads} threads, {platform.system()}, PyTorch {torch.__version__}. "
                       f"Gflop/s, counting 2 n d² s flops; best of all calls in {args.rounds} alternating rounds; "
                       "ratio = PyTorch's time over ours, PyTorch in its fastest formulation.\n\n")
            file.write("| n | d | s | f32 | PyTorch f32 | formulation | ratio | f64 | PyTorch f64 | formulation | ratio |\n")
            file.write("|--:|--:|--:|--:|--:|:--|--:|--:|--:|:--|--:|\n")
            for row in table:
                file.write("| {} | {} | {} | {:.1f} | {:.1f} | {} | {:.2f} | {:.1f} | {:.1f} | {} | {:.2f} |\n".format(*row))


if __name__ == "__main__":
    main()
