"""How the coefficients in isa/vecmath.h were obtained: weighted rational and polynomial fits by Lawson's iteration.

Run it to print the tables: ``python tools/fit_math.py`` (needs mpmath).
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def lawson(
    ratio: Callable[[mp.mpf], mp.mpf], low: float, high: float, degrees: tuple[int, int], rounds: int = 60
) -> tuple[list[float], list[float], float]:
    """Fit P(t)/Q(t) to f(t) in relative error on [low, high], where ``ratio`` is 1/f; Q(0) is 1.

    Returns P, Q (lowest power first) and the largest relative error on the nodes.
    """
    p_degree, q_degree = degrees
    count = 12 * (p_degree + q_degree + 2)
    centre, half = (low + high) / 2, (high - low) / 2
    nodes = [mp.mpf(centre + half * np.cos(np.pi * (i + 0.5) / count)) for i in range(count)]
    g = [ratio(t) for t in nodes]
    weight = [mp.mpf(1)] * count
    q_now = [mp.mpf(1)] * count
    best: tuple[list[float], list[float], float] | None = None
    for _ in range(rounds):
        rows, rhs = [], []
        for t, gi, wi, qi in zip(nodes, g, weight, q_now, strict=True):
            s = mp.sqrt(wi) / qi
            rows.append([s * gi * t**k for k in range(p_degree + 1)] + [-s * t**k for k in range(1, q_degree + 1)])
            rhs.append(s)
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix(rhs))
        p = [solution[k] for k in range(p_degree + 1)]
        q = [mp.mpf(1)] + [solution[p_degree + 1 + k] for k in range(q_degree)]
        q_now = [mp.polyval(q[::-1], t) for t in nodes]
        errors = [abs(mp.polyval(p[::-1], t) * gi / qi - 1) for t, gi, qi in zip(nodes, g, q_now, strict=True)]
        worst = max(errors)
        if best is None or worst < best[2]:
            best = ([float(c) for c in p], [float(c) for c in q], float(worst))
        weight = [w * (e / worst + mp.mpf("1e-6")) for w, e in zip(weight, errors, strict=True)]
        total = sum(weight)
        weight = [w * count / total for w in weight]
    assert best is not None
    return best


def show(name: str, fit: tuple[list[float], list[float], float]) -> None:
    """Print one table as C literals."""
    p, q, error = fit
    print(f"{name}: relative error {error:.2e}")
    print("  P", ", ".join(f"{np.float32(c):.9g}f" for c in p))
    if len(q) > 1:
        print("  Q", ", ".join(f"{np.float32(c):.9g}f" for c in q))


def main() -> None:
    """Print all tables."""
    eps = mp.mpf("1e-12")
    show("tanh(x)/x in x^2", lawson(lambda t: mp.sqrt(t + eps) / mp.tanh(mp.sqrt(t + eps)), 0, 9.02**2, (4, 4)))
    show("erf(x)/x in x^2", lawson(lambda t: mp.sqrt(t + eps) / mp.erf(mp.sqrt(t + eps)), 0, 3.93**2, (5, 5)))
    half_ln2 = 0.3466
    show(
        "(exp(r)-1-r)/r^2",
        lawson(lambda r: (r + eps) ** 2 / (mp.expm1(r + eps) - (r + eps)), -half_ln2, half_ln2, (4, 0)),
    )
    low, high = 0.5**0.5 - 1, 2**0.5 - 1
    show(
        "(log(1+f)-f+f^2/2)/f^3",
        lawson(lambda f: (f + eps) ** 3 / (mp.log1p(f + eps) - (f + eps) + (f + eps) ** 2 / 2), low, high, (7, 0)),
    )


if __name__ == "__main__":
    main()
