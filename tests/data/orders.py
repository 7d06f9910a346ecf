"""Exact derivatives of the activations of third and higher order, for tests/orders.rs.

    python orders.py > orders.csv              the table in the repository
    python orders.py NAME >> orders.csv        the rows of a new activation

Needs mpmath 1.3. Columns: name, order, u, the exact value as the nearest double, the remainder in units of that double's last
place (ULP), and the scale near interior zeros: 2**-53 times the largest size of the derivative within 1/4 of u, in ULP of
the double, where that exceeds one ULP, and otherwise 0.

Nothing is differentiated by hand: the Taylor coefficients at u are Cauchy's integrals over a small circle, in 220 digits, and those
over two circles agree to 30 digits.
"""

import math
import random
import sys

from mpmath import mp, mpf

from activations import rounded

mp.dps = 220
NODES = 64
ROOTS = [mp.expjpi(mpf(2 * i) / NODES) for i in range(NODES)]

# For u < 0 and for u >= 0, up to terms of first degree, which have no derivative of third order: tails are small, so that no digit is
# lost there.
FUNCTIONS = {
    "tanh": (lambda u: 2 / (1 + mp.exp(-2 * u)), lambda u: -2 / (1 + mp.exp(2 * u))),
    "logistic": (lambda u: 1 / (1 + mp.exp(-u)), lambda u: -1 / (1 + mp.exp(u))),
    "softplus": (lambda u: mp.log1p(mp.exp(u)), lambda u: mp.log1p(mp.exp(-u))),
    "exp": (mp.exp,) * 2,
    "exp_neg_half": (lambda u: mp.exp(-u / 2),) * 2,
    "gauss": (lambda u: mp.exp(-u * u),) * 2,
    "gauss_half": (lambda u: mp.exp(-u * u / 2),) * 2,
    "one_minus_exp_neg": (lambda u: -mp.exp(-u),) * 2,
    "sin": (mp.sin,) * 2,
    "cos": (mp.cos,) * 2,
    "log": (None, mp.log),
    "sqrt": (None, mp.sqrt),
    "reciprocal": (lambda u: 1 / u,) * 2,
    "atan": (mp.atan,) * 2,
    "silu": (lambda u: u / (1 + mp.exp(-u)), lambda u: -u / (1 + mp.exp(u))),
    "gelu": (
        lambda u: u * mp.erfc(-u / mp.sqrt(2)) / 2,
        lambda u: -u * mp.erfc(u / mp.sqrt(2)) / 2,
    ),
    "elliot": (lambda u: 1 / (1 - u), lambda u: -1 / (1 + u)),
    "elu": (mp.exp, lambda u: 0 * u),
    "mish": (
        lambda u: u * mp.exp(u) * (2 + mp.exp(u)) / ((1 + mp.exp(u)) ** 2 + 1),
        lambda u: -2 * u * mp.exp(-2 * u) / ((1 + mp.exp(-u)) ** 2 + mp.exp(-2 * u)),
    ),
}
# Far out the derivatives of these are small differences no more. The distance to their singularities: |u|, at least the number.
SCALED = {"log": 0, "sqrt": 0, "reciprocal": 0, "atan": 1, "elliot": 1}
# Whose derivatives have interior zeros.
WITH_ZEROS = ("tanh", "logistic", "softplus", "silu", "gelu", "atan", "gauss", "gauss_half", "mish")
# Not analytic at 0.
BROKEN_AT_0 = ("log", "sqrt", "reciprocal", "elliot", "elu")

RANGES = {
    "exp": (-745.0, 709.0),
    "exp_neg_half": (-1400.0, 1490.0),
    "gauss": (-28.0, 28.0),
    "gauss_half": (-40.0, 40.0),
    "one_minus_exp_neg": (-709.0, 745.0),
    "tanh": (-375.0, 375.0),
    "logistic": (-750.0, 750.0),
    "softplus": (-750.0, 750.0),
    "silu": (-755.0, 755.0),
    "gelu": (-40.0, 40.0),
    "elu": (-745.0, 1.0),
    "mish": (-755.0, 380.0),
    "sin": (-1e3, 1e3),
    "cos": (-1e3, 1e3),
}


def points(name):
    rng = random.Random("orders " + name)
    found = [0.0, 1.0, -2.5, 6.0] + [rng.uniform(-3, 3) for _ in range(6)]
    found += [rng.uniform(-12, 12) for _ in range(4)]
    if name in RANGES:
        found += [rng.uniform(*RANGES[name]) for _ in range(6)]
    else:
        found += [rng.choice((-1, 1)) * 10 ** rng.uniform(-3, 3) for _ in range(3)]
        found += [rng.choice((-1, 1)) * 10 ** rng.uniform(-30, 60) for _ in range(3)]
    if name in ("log", "sqrt"):
        found = [abs(u) for u in found]
    return sorted({u for u in found if u != 0 or name not in BROKEN_AT_0})


def over_circle(name, u, radius):
    """The Taylor coefficients at u."""
    f = FUNCTIONS[name][u >= 0]
    values = [f(u + radius * root) for root in ROOTS]
    return [
        sum(v * ROOTS[-i * k % NODES] for i, v in enumerate(values)).real / (NODES * radius**k)
        for k in range(NODES - 16)
    ]


def taylor(name, u):
    u = mpf(u)
    size = max(abs(u), mpf(SCALED[name])) if name in SCALED else mpf(1)
    a, b = (over_circle(name, u, size / d) for d in (100, 300))
    for k in range(3, 33):
        assert abs(a[k] - b[k]) * size**k <= mpf(10) ** -30 * max(
            abs(a[k]) * size**k, max(abs(c) * size**j for j, c in enumerate(a)) * mpf(10) ** -9
        ), (name, u, k)
    return a


def derivative(c, order, step=mpf(0)):
    return sum(
        c[k] * mp.ff(k, order) * step ** (k - order) for k in range(order, len(c) if step else order + 1)
    )


def main():
    for name in sys.argv[1:] or FUNCTIONS:
        for at, u in enumerate(points(name)):
            c = taylor(name, u)
            for order in (3, 4, 5, 6, 7, 8, 16, 32):
                if order > 8 and at % 3:
                    continue
                exact = derivative(c, order)
                if u == 0 and abs(exact) < mpf(10) ** -60:
                    exact = mpf(0)  # by symmetry
                hi, rest = rounded(exact)
                scale = mpf(0)
                if name in WITH_ZEROS:
                    steps = [mpf(i) / 16 for i in range(-4, 5)]
                    scale = max(abs(derivative(c, order, s)) for s in steps if abs(s) < abs(mpf(1) / 3))
                    scale = scale * mpf(2) ** -53 / math.ulp(hi) * mpf("0.999")
                rest = mp.nstr(rest, 4) if abs(rest) > 1e-4 else "0"
                scale = mp.nstr(scale, 3) if 1 < scale < 1e300 else "0"
                print(name, order, repr(u), repr(hi), rest, scale, sep=",")


if __name__ == "__main__":
    main()
