"""Formulas with their exact derivatives, for tests/formula.rs.

    python formulas.py > formulas.csv

Needs mpmath 1.3. Columns: the formula, u (a number of f32), h, h' ... h'''' as
the nearest doubles, and for h, h', h'' the largest size within 1/8 of u. Where
a formula as written cancels, there are no points.
"""

from mpmath import mp, mpf

mp.dps = 50


def s(u):
    return 1 / (1 + mp.exp(-u))


def Phi(u):
    return mp.erfc(-u / mp.sqrt(2)) / 2


ALL = [-5.5, -2.25, -0.6875, 0.1875, 0.75, 1.375, 3.0, 7.25]
POSITIVE = [0.1875, 0.75, 1.375, 3.0, 7.25, 20.5]

FORMULAS = {
    "1-(1+u)^-2": (lambda u: 1 - (1 + u) ** -2, [-0.6875, 0.0] + POSITIVE),
    "u/(1+exp(-u))": (lambda u: u * s(u), [-60.0] + ALL),
    "log(1+exp(u))": (lambda u: mp.log1p(mp.exp(u)), ALL[1:-1]),
    "tanh(u)^3*cos(2*u)+u^2/7": (lambda u: mp.tanh(u) ** 3 * mp.cos(2 * u) + u**2 / 7, ALL),
    "sqrt(1+u^2)-1": (lambda u: mp.sqrt(1 + u * u) - 1, ALL),
    "(1+u^2)^-1.5": (lambda u: (1 + u * u) ** mpf(-1.5), ALL),
    "u^2.5*exp(-u)": (lambda u: u ** mpf(2.5) * mp.exp(-u), POSITIVE),
    "exp(-u^2/2)*(1-u^2)": (lambda u: mp.exp(-u * u / 2) * (1 - u * u), ALL),
    "2^-u + u^pi": (lambda u: 2**-u + u**mp.pi, POSITIVE),
    "erf(u)*sinh(u/3)-cosh(u/5)": (
        lambda u: mp.erf(u) * mp.sinh(u / 3) - mp.cosh(u / 5), ALL),
    "atan(sin(u)) + tan(u/8)": (lambda u: mp.atan(mp.sin(u)) + mp.tan(u / 8), ALL),
    "log1p(u^2)*gelu(u)": (lambda u: mp.log1p(u * u) * u * Phi(u), ALL),
    "abs(u-1/4)*expm1(-u)": (lambda u: abs(u - mpf(1) / 4) * mp.expm1(-u), ALL),
    "-expm1(-u)": (lambda u: -mp.expm1(-u), [2.0**-30] + ALL),
    "softplus(u)^(u/5)": (lambda u: mp.log1p(mp.exp(u)) ** (u / 5), ALL),
    "relu(u)*logistic(3*u)-silu(-u)": (
        lambda u: (u * s(3 * u) if u > 0 else 0) + u * s(-u), ALL),
    "sin(u)/u": (lambda u: mp.sin(u) / u, ALL[:3] + ALL[4:]),
    "gauss(u)+gauss_half(u)*one_minus_exp_neg(u)": (
        lambda u: mp.exp(-u * u) - mp.exp(-u * u / 2) * mp.expm1(-u), ALL),
    "reciprocal(1+exp(sin(u)))": (lambda u: 1 / (1 + mp.exp(mp.sin(u))), ALL),
    "((u+1)*(u-2))^3/(1+u^4)": (lambda u: ((u + 1) * (u - 2)) ** 3 / (1 + u**4), ALL),
    "exp_neg_half(sqrt(u^2+0.5))*ln(2+cos(u))*e": (
        lambda u: mp.exp(-mp.sqrt(u * u + 0.5) / 2) * mp.log(2 + mp.cos(u)) * mp.e, ALL),
}

for text, (f, points) in FORMULAS.items():
    for u in points:
        h = [c * mp.factorial(k) for k, c in enumerate(mp.taylor(f, mpf(u), 4))]
        near = []
        for j in (-4, -2, -1, 1, 2, 4):
            v = mpf(u) + mpf(j) / 32
            if f in [FORMULAS[t][0] for t in ("u^2.5*exp(-u)", "2^-u + u^pi")] and v <= 0:
                continue
            near.append([c * mp.factorial(k) for k, c in enumerate(mp.taylor(f, v, 2))])
        scales = [max(abs(n[k]) for n in near + [h]) for k in range(3)]
        print(",".join([text, repr(u)] + [repr(float(v)) for v in h] + ["%.4g" % v for v in scales]))
