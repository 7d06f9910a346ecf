#!/usr/bin/env python3
"""The work of benches/quick.rs in PyTorch and JAX, where they can be imported: elementary functions and products with the Hessian.

    python benches/peers/quick.py OURS.json

OURS.json is what `cargo bench --bench quick -- --json OURS.json` wrote on the same machine. Each line is the fastest peer's time, and how
many times as long as this crate's it is. PyTorch's functions give h alone, and fewer digits; h' and h'' come on top here.
"""
import json
import sys

import torch

from hessian import PRODUCTS, Jax, Torch, best, jax, seconds


def main():
    with open(sys.argv[1]) as file:
        ours = json.load(file)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads" + (f", JAX {jax.__version__}" if jax else ", no JAX"))

    def row(name, what, time):
        if name in ours:
            print(f"{name:44} {1e3 * time:10.4f} ms   {time / ours[name]:.2f} times ours   {what}", flush=True)

    count = 1 << 20
    p = (torch.rand(count, dtype=torch.float64) * 2 - 1) * 4
    out = torch.empty_like(p)
    functions = {"tanh": torch.tanh, "logistic": torch.sigmoid, "exp": torch.exp}
    for name, function in functions.items():
        row(f"{name} with h' and h'' of {count}", f"torch {name}, h alone", seconds(lambda: function(p, out=out), 0.5))
    softplus = seconds(lambda: torch.nn.functional.softplus(p), 0.5)
    row(f"softplus with h' and h'' of {count}", "torch softplus, h alone", softplus)
    for widths, n in PRODUCTS:
        name = f"[{'-'.join(map(str, widths))}] n={n}"
        both = [("torch", Torch(widths, "sos", n))] + ([("jax", Jax(widths, "sos", n))] if jax else [])
        for what, formulations in [
            ("gradient", lambda l: [("grad", l.gradient())]),
            ("1 exact products", lambda l: l.products(1)),
            # Of many vectors the others took several times as long, and seconds.
            ("32 exact products", lambda l: [f for f in l.products(32) if f[0] in ("map of jvp(grad)", "double backward")]),
        ]:
            time, which = best(both, formulations)
            row(f"{name} {what}", which, time)


if __name__ == "__main__":
    main()
