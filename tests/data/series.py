"""Taylor coefficients of elementary functions and activations, for tests/series.rs.

    python series.py > series.csv              the table in the repository
    python series.py NAME >> series.csv        the rows of a new function

Needs mpmath 1.3. Columns: name, u, then c_0 ... c_8 with f(u + t) = sum of
c_k t^k, as the nearest doubles; c_9 besides for the scale of c_8.
"""

import sys

from mpmath import mp, mpf

mp.dps = 60


def logistic(u):
    return 1 / (1 + mp.exp(-u))


REAL = [-20.3, -6.5, -2.375, -0.71, 0.0, 1e-9, 0.3, 1.3125, 4.1, 17.6]
POSITIVE = [1e-9, 0.03, 0.5, 1.0, 1.0001, 2.71, 31.4, 1e6]
BROKEN = [-20.3, -6.5, -2.375, -0.71, 0.3, 1.3125, 4.1, 17.6]
SMALL = [-6.5, -2.375, -0.71, 0.0, 1e-9, 0.3, 1.3125, 4.1]

FUNCTIONS = {
    "exp": (mp.exp, REAL),
    "expm1": (mp.expm1, REAL),
    "log": (mp.log, POSITIVE),
    "log1p": (mp.log1p, [-0.97, -0.3, -1e-9, 0.0] + POSITIVE),
    "sqrt": (mp.sqrt, POSITIVE),
    "power -2": (lambda u: u**-2, [-3.5, -0.1] + POSITIVE),
    "power 5": (lambda u: u**5, [-3.5, 0.0] + POSITIVE),
    "power 2.5": (lambda u: u ** mpf(2.5), POSITIVE),
    "sin": (mp.sin, REAL),
    "cos": (mp.cos, REAL),
    "tan": (mp.tan, SMALL),
    "sinh": (mp.sinh, REAL),
    "cosh": (mp.cosh, REAL),
    "tanh": (mp.tanh, REAL),
    "logistic": (logistic, REAL),
    "softplus": (lambda u: mp.log1p(mp.exp(u)), REAL),
    "atan": (mp.atan, REAL + [1e6]),
    "erf": (mp.erf, SMALL),
    "normal_cdf": (lambda u: mp.erfc(-u / mp.sqrt(2)) / 2, REAL),
    "exp_neg_half": (lambda u: mp.exp(-u / 2), REAL),
    "gauss": (lambda u: mp.exp(-u * u), REAL),
    "gauss_half": (lambda u: mp.exp(-u * u / 2), REAL),
    "one_minus_exp_neg": (lambda u: -mp.expm1(-u), REAL),
    "reciprocal": (lambda u: 1 / u, [-3.5, -0.1] + POSITIVE),
    "silu": (lambda u: u * logistic(u), REAL),
    "gelu": (lambda u: u * mp.erfc(-u / mp.sqrt(2)) / 2, REAL),
    "elliot": (lambda u: u / (1 + u) if mp.re(u) > 0 else u / (1 - u), BROKEN),
    "elu": (lambda u: u if mp.re(u) > 0 else mp.expm1(u), BROKEN),
    "mish": (lambda u: u * (1 - 2 / ((1 + mp.exp(u)) ** 2 + 1)), REAL),
}


def taylor(f, u):
    """By the trapezium rule on a circle, which converges like (r/R)^n."""
    n, digits = 256, 160
    with mp.workdps(digits):
        # far enough from the poles, at +-i pi, +-i or 0
        r = min(mpf(1) / (16 if f == mp.tan else 4), abs(u) / 8 if u and f in NEAR else 1, abs(1 + mpf(u)) / 8 if f == mp.log1p else 1)
        points = [r * mp.expjpi(mpf(2 * j) / n) for j in range(n)]
        values = [f(u + t) for t in points]
        found = [
            mp.re(sum(v * mp.expjpi(-mpf(2 * j * k) / n) for j, v in enumerate(values))) / n
            for k in range(10)
        ]
        # what is left of an exact 0
        least = max(map(abs, values)) * mpf(10) ** -120
        return [c / r**k if abs(c) > least else mpf(0) for k, c in enumerate(found)]


NEAR = [FUNCTIONS[n][0] for n in ("log", "sqrt", "power -2", "power 2.5", "reciprocal", "elliot", "elu")]

for name in sys.argv[1:] or FUNCTIONS:
    f, points = FUNCTIONS[name]
    for u in sorted(points):
        print(",".join([name, repr(u)] + [repr(float(c)) for c in taylor(f, mpf(u))]))
