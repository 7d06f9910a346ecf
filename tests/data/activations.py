"""Exact values of the activations and their derivatives, for tests/activations.rs.

    python activations.py > activations.csv              the table in the repository
    python activations.py NAME >> activations.csv        the rows of a new activation
    python activations.py --wide 100000 SEED [NAME ...]  random points only

Needs mpmath 1.3. Columns: name, u, then for h, h' and h'' the exact value as
the nearest double and the remainder in units of that double's last place
(ULP), and last the scale that the error of h, h' and h'' is measured by near
an interior zero: 2**-53 times the largest size of the function within 1/4 of
u, in ULP of the double, where that exceeds one ULP, and otherwise 0. Only
those of SCALED have such scales: the others are held to ULP everywhere.
"""

import math
import random
import sys

from mpmath import mp, mpf

mp.dps = 50


def logistic(u):
    return 1 / (1 + mp.exp(-u))


def slope(u):  # of the logistic function
    return logistic(u) * logistic(-u)


def density(u):
    return mp.exp(-u * u / 2) / mp.sqrt(2 * mp.pi)


def normal(u):
    if abs(u) > 1e6:  # past what mpmath's erfc takes, and below any double
        return mpf(1) if u > 0 else density(u) / -u
    return mp.erfc(-u / mp.sqrt(2)) / 2


def tanh(u):
    # mpmath's own cannot where it is 1 to a million digits
    return mp.tanh(u) if abs(u) < 100 else mp.sign(u) * (1 - 2 * mp.exp(-2 * abs(u)))


def sech2(u):
    return 4 * slope(2 * u)


def mish(u):
    # 1 - tanh(ln(1 + e^u)) = 2 / d, or without overflow 2 z^2 / d
    z = mp.exp(-abs(u))
    d = (1 + z) ** 2 + (1 if u < 0 else z * z)
    if u < 0:
        t = z * (2 + z) / d
        t1 = 4 * z * (1 + z) / d**2
        t2 = t1 * (1 + z / (1 + z) - 4 * z * (1 + z) / d)
    else:
        t = (1 + 2 * z) / d
        t1 = 4 * z * z * (1 + z) / d**2
        t2 = t1 * (1 + 1 / (1 + z) - 4 * (1 + z) / d)
    return u * t, t + u * t1, 2 * t1 + u * t2


def trig(u):
    # enough digits for the reduction of u by pi
    with mp.workdps(50 + max(0, int(mp.log10(abs(u) + 1)))):
        return mp.sin(u), mp.cos(u)


FUNCTIONS = {
    "identity": lambda u: (u, mpf(1), mpf(0)),
    "tanh": lambda u: (tanh(u), sech2(u), -2 * tanh(u) * sech2(u)),
    "logistic": lambda u: (logistic(u), slope(u), -slope(u) * tanh(u / 2)),
    "softplus": lambda u: (
        max(u, 0) + mp.log1p(mp.exp(-abs(u))), logistic(u), slope(u)),
    "exp": lambda u: (mp.exp(u),) * 3,
    "exp_neg_half": lambda u: (mp.exp(-u / 2), -mp.exp(-u / 2) / 2, mp.exp(-u / 2) / 4),
    "gauss": lambda u: (
        mp.exp(-u * u), -2 * u * mp.exp(-u * u), (4 * u * u - 2) * mp.exp(-u * u)),
    "gauss_half": lambda u: (
        mp.exp(-u * u / 2), -u * mp.exp(-u * u / 2), (u * u - 1) * mp.exp(-u * u / 2)),
    "one_minus_exp_neg": lambda u: (-mp.expm1(-u), mp.exp(-u), -mp.exp(-u)),
    "sin": lambda u: (trig(u)[0], trig(u)[1], -trig(u)[0]),
    "cos": lambda u: (trig(u)[1], -trig(u)[0], -trig(u)[1]),
    "log": lambda u: (mp.log(u), 1 / u, -1 / (u * u)),
    "sqrt": lambda u: (mp.sqrt(u), 1 / (2 * mp.sqrt(u)), -1 / (4 * u * mp.sqrt(u))),
    "reciprocal": lambda u: (1 / u, -1 / u**2, 2 / u**3),
    "atan": lambda u: (mp.atan(u), 1 / (1 + u * u), -2 * u / (1 + u * u) ** 2),
    "relu": lambda u: (u, mpf(1), mpf(0)) if u > 0 else (mpf(0),) * 3,
    "silu": lambda u: (
        u * logistic(u),
        logistic(u) * (1 + u * logistic(-u)),
        slope(u) * (2 - u * tanh(u / 2))),
    "gelu": lambda u: (
        u * normal(u), normal(u) + u * density(u), (2 - u * u) * density(u)),
    "elliot": lambda u: (
        u / (1 + abs(u)), 1 / (1 + abs(u)) ** 2, -2 * mp.sign(u) / (1 + abs(u)) ** 3),
    "elu": lambda u: (u, mpf(1), mpf(0)) if u > 0 else (mp.expm1(u), mp.exp(u), mp.exp(u)),
    "leaky_relu": lambda u: (u, mpf(1), mpf(0)) if u > 0 else (u / 100, mpf(1) / 100, mpf(0)),
    "mish": mish,
}

# Interior zeros of h, h' or h'', and points of interest of the kind: the
# points of the table close in on them from both sides.
ZEROS = {
    "tanh": [0.0],
    "gauss": [math.sqrt(0.5), -math.sqrt(0.5)],
    "gauss_half": [1.0, -1.0],
    "sin": [k * math.pi / 2 for k in (1, 2, -3, 4, 11, 22, 355 * 2)],
    "cos": [k * math.pi / 2 for k in (1, 2, -3, 4, 11, 22, 355 * 2)],
    "log": [1.0],
    "silu": [-1.2784645427610738, 2.399357280515468, -2.399357280515468],
    "gelu": [-0.7517915246935645, math.sqrt(2), -math.sqrt(2)],
    "mish": [-1.1924312145154952, -2.256376396360793, 1.4905711794854284],
}

# The orders whose interior zeros are measured by their local scale.
SCALED = {"silu": (1, 2), "gelu": (1,), "mish": (1, 2)}

# Where the random points are densest, beside the common ones.
RANGES = {
    "exp": (-745.2, 709.8),
    "exp_neg_half": (-1422.4, 1490.3),
    "gauss": (-27.4, 27.4),
    "gauss_half": (-38.9, 38.9),
    "one_minus_exp_neg": (-709.8, 40.0),
    "tanh": (-20.0, 20.0),
    "sin": (-30.0, 30.0),
    "cos": (-30.0, 30.0),
    "log": (0.0, 4.0),
    "sqrt": (0.0, 16.0),
    "atan": (-8.0, 8.0),
    "gelu": (-38.9, 10.0),
    "elu": (-40.0, 1.0),
    "silu": (-40.0, 40.0),
}

# The worst points of 100000 random ones, found with --wide.
WORST = {
    "tanh": [
        "0x1.08231f46ed11cp+4", "0x1.63a40d1e4cb21p+8", "0x1.649001cbb8427p+8",
        "-0x1.74ae9c344a0e0p-3", "-0x1.66b40838fe7b0p+8",
    ],
    "logistic": ["-0x1.62f1c3875d098p+9", "0x1.7135c73d8fadbp+9", "0x1.6589c5fef9facp+9"],
    "softplus": [
        "0x1.aba1aedea19eap-3", "-0x1.62f1c3875d098p+9", "0x1.7135c73d8fadbp+9",
        "0x1.e686ff25fce5ep-3", "0x1.6589c5fef9facp+9",
    ],
    "exp": ["-0x1.62720c120667ep+9"],
    "exp_neg_half": ["0x1.6279cf99f013cp+10", "0x1.61ebe4f9cb178p+10", "0x1.61a252590e1aap+10"],
    "gauss": [
        "-0x1.aa07d4bc896d5p+4", "-0x1.ab13476aa9f34p+4", "0x1.ac4d0b2facde6p+4",
        "-0x1.aa00d20889413p+4", "-0x1.ab23064a2ebd0p+4", "-0x1.ac8a03c06f814p+4",
    ],
    "gauss_half": [
        "-0x1.2d3e6caf4a7d0p+5", "-0x1.2dfbe5b541df0p+5", "-0x1.2eb132d5e5d24p+5",
        "-0x1.2d2b6e7758459p+5", "0x1.2dfdad1773a79p+5", "0x1.2ebccff78cd3bp+5",
    ],
    "one_minus_exp_neg": [
        "0x1.d16a1596b0939p-10", "0x1.7135c73d8fadbp+9", "-0x1.29e59cbf2bf00p+5",
    ],
    "sin": [
        "0x1.aa5c8236be26cp-1", "0x1.75598f25e81e0p-1", "-0x1.2aaba3987cde8p+1",
        "0x1.79c0a6fb3c200p+3",
    ],
    "cos": [
        "0x1.75598f25e81e0p-1", "0x1.aa5c8236be26cp-1", "0x1.79c0a6fb3c200p+3",
        "-0x1.2aaba3987cde8p+1",
    ],
    "log": ["0x1.4b85bb387c987p+1", "0x1.a92e9e122e11ap+1022", "0x1.6e8d9730dab45p+1"],
    "sqrt": ["0x1.63ed3afb6396fp-23", "0x1.13f4ba43ecbc8p-928", "0x1.437deade7ce03p-13"],
    "reciprocal": ["0x1.a92e9e122e11ap+1022", "-0x1.a67ff86209cb9p+511", "0x1.4040db1e9f6cdp+342"],
    "atan": ["0x1.62434fc04501cp+1", "-0x1.a67ff86209cb9p+511", "0x1.4040db1e9f6cdp+342"],
    "silu": [
        "-0x1.65d3534da5264p+9", "-0x1.66099be6c980ep+9", "-0x1.737f545a511dfp+9",
        "-0x1.72775eb5f14b5p+9", "0x1.6b2e6b61541e0p+9",
    ],
    "gelu": ["-0x1.2cf9bf7540166p+5", "-0x1.2dd24bb03890cp+5", "-0x1.2e9165d2c1cfdp+5"],
}

ENDS = [
    5e-324, 1e-310, 2.3e-308, 1e-300, 1e-160, 1e-120, 1e-105, 1e-100, 1e-40, 1e-17, 1.2e-16,
    1e-9, 1e-8, 1e-5, 1e-3, 0.0054, 0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 36.0,
    36.5, 37.0, 38.0, 38.5, 39.9, 40.0, 40.1, 64.0, 100.0, 207.0, 208.5, 209.0, 345.0, 354.0,
    354.5, 355.0, 372.0, 373.0, 600.0, 700.0, 708.0, 708.4, 709.0, 709.5, 709.78, 710.0,
    720.0, 740.0, 744.0, 745.0, 745.1, 746.0, 750.0, 751.0, 752.0, 760.0, 800.0, 1000.0,
    1400.0, 1419.0, 1421.0, 1422.0, 1489.0, 1492.0, 1499.9, 1500.1, 2000.0, 1e5, 1e10, 1e16,
    1e22, 9.9e29, 1.1e30, 1e100, 5e102, 1e107, 1e154, 1.5e154, 1e160, 1e161, 1e200, 1e205,
    1e250, 1e300, 1.7976931348623157e308,
]


def in_domain(name, u):
    if name == "reciprocal":
        return u != 0
    return u > 0 if name in ("log", "sqrt") else True


def random_points(name, count, rng):
    lo, hi = RANGES.get(name, (-12.0, 12.0))
    for i in range(count):
        if i % 4 < 2:
            yield rng.uniform(lo, hi)
        elif i % 4 == 2:
            yield rng.choice((-1, 1)) * 10 ** rng.uniform(-20, 3.2)
        elif name in ("log", "sqrt", "reciprocal", "atan", "elliot"):
            yield rng.choice((-1, 1)) * 10 ** rng.uniform(-307, 308)
        elif name in ZEROS and i % 8 == 7:
            yield rng.choice(ZEROS[name]) + rng.choice((-1, 1)) * 10 ** rng.uniform(-15, -1)
        else:
            yield rng.uniform(-3, 3)


def points(name):
    if name in ("identity", "relu", "leaky_relu"):
        return [0.0, -0.0] + [s * u for u in ENDS for s in (1, -1)]
    rng = random.Random("activations " + name)
    found = [0.0, -0.0] + [s * u for u in ENDS for s in (1, -1)]
    for zero in ZEROS.get(name, []):
        found.append(zero)
        few = 2 if len(ZEROS[name]) < 4 else 5
        for j in range(2, 52, few):
            found += [zero + 0.5**j, zero - 0.5**j]
        for step in range(1, 4):
            found += [zero + step * math.ulp(zero), zero - step * math.ulp(zero)]
    found += random_points(name, 280, rng)
    found += map(float.fromhex, WORST.get(name, []))
    return sorted({(u, math.copysign(1, u)) for u in found})


def rounded(x):
    """The double nearest x and the rest in its ULP."""
    if x == 0:
        return 0.0, mpf(0)
    place = max(mp.frexp(x)[1] - 53, -1074)
    hi = int(mp.nint(mp.ldexp(x, -place)))
    if abs(hi) == 2**53 and place == 971:
        return math.copysign(math.inf, hi), mpf(0)
    if place > 971:
        return math.copysign(math.inf, hi), mpf(0)
    hi = math.ldexp(hi, place)
    return hi, (x - hi) / math.ulp(hi)


def scales(name, u, exact):
    """See the columns above; rounded down to three digits."""
    f = FUNCTIONS[name]
    near = [f(mpf(u) + mpf(i) / 32) for i in range(-8, 9)]
    for order in range(3):
        size = max(abs(v[order]) for v in near)
        ulp = math.ulp(rounded(exact[order])[0])
        scale = size * mpf(2) ** -53 / ulp
        yield scale if order in SCALED[name] and scale >= 1 else mpf(0)


def row(name, u):
    exact = FUNCTIONS[name](mpf(u))
    cells = [name, repr(u)]
    for x in exact:
        hi, rest = rounded(x)
        cells += [repr(hi), mp.nstr(rest, 5) if abs(rest) > 1e-5 else "0"]
    if name in SCALED and abs(u) < 4:
        cells += ["%.3g" % (float(s) * 0.999) if s else "0" for s in scales(name, u, exact)]
    else:
        cells += ["0"] * 3
    return ",".join(cells)


def main():
    if sys.argv[1:2] == ["--wide"]:
        rng = random.Random(int(sys.argv[3]))
        mp.dps = 40
        for name in sys.argv[4:] or FUNCTIONS:
            for u in random_points(name, int(sys.argv[2]), rng):
                if in_domain(name, u):
                    print(row(name, u))
        return
    for name in sys.argv[1:] or FUNCTIONS:
        for u in points(name):
            u = u[0] if isinstance(u, tuple) else u
            if in_domain(name, u):
                print(row(name, u))


if __name__ == "__main__":
    main()
