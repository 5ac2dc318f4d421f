"""What a recurrent layer's gradients say, and what to change.

A gradient goes back through a recurrent layer by one product with the Jacobian of a step for each step. Where these
shrink it, what happened early has no say in the update (it *vanishes*); where they stretch it, one long sequence may
throw all weights off (it *explodes*): Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient
descent is difficult", IEEE Trans. Neural Networks 5 (1994); Pascanu, Mikolov and Bengio, "On the difficulty of
training recurrent neural networks", ICML 2013.

The thresholds are about those products, not about the sizes of dL/dh_t: where each step has a loss of its own,
dL/dh_t is as large in the first step as in the last, whether or not anything comes from later steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

VANISHING_LOG10 = -4.0
"""Gradients vanish where less than 1e-4 of one for the last state is left at the first step.

The gradient of the weights is a sum over the steps. Gradients of minibatches scatter by some percent at the least, so
that a share of 1e-4 is far below the noise; and a float32 sum keeps about seven digits.
"""

EXPLODING_LOG10 = 2.0
"""Gradients explode where one for the last state is at the first step more than 1e2 times as large.

The growth is exponential: where it is 1e2 now, weights larger by a few percent make it 1e4, and one step along such a
gradient undoes many good ones (the cliffs of Pascanu et al., section 2.3).
"""

LARGE = 1e3
"""Gradients explode, whatever their growth, where a single row's dL/dh_t is larger than this.

States are of the order of 1, and so is the loss of standardized data; its gradient for a state then is, too.
"""

DEPTH_LOG10 = -4.0
"""Gradients vanish in a layer whose largest step norm is below 1e-4 of another layer's: they do not come so deep."""

HORIZON = 0.01
"""A layer's horizon is how many steps back at least this share is left."""

SATURATED = 0.5
"""Gates are called saturated where more than half of their values are."""

FAST_UPDATE, SLOW_UPDATE = 0.1, 1e-6
"""Updates of a weight matrix, relative to its norm, that are too large and too small.

About 1e-3 is a good value, a rule of thumb (the ratio that layer-wise rates hold constant: You, Gitman and Ginsburg,
"Large batch training of convolutional networks", 2017). At 0.1, ten updates may replace all that was learned; at 1e-6
float32 weights hardly move.
"""


def horizon(carry: np.ndarray) -> int:
    """How many steps back `carry` (L,) stays at `HORIZON` or above."""
    below = np.flatnonzero(~(carry >= HORIZON))
    return int(below[0]) - 1 if below.size else len(carry) - 1


def log10(value: float) -> float:
    """The logarithm; -inf of 0."""
    return -math.inf if value == 0 else math.log10(value) if value > 0 else math.nan


def judge(step_norms: np.ndarray, carry: np.ndarray, rows: int, largest: float) -> tuple[str, str]:
    """The verdict on a layer, and why.

    Parameters
    ----------
    step_norms : ndarray (T,)
        The mean over the rows of the norm of dL/dh_t.
    carry : ndarray (L,)
        What is left of a gradient k steps back.
    rows : int
        Of the batch; losses are means over them.
    largest : float
        The largest step norm of all layers.
    """
    if not np.isfinite(step_norms).all() or not np.isfinite(carry).all():
        return "exploding", "gradients are not finite"
    peak = float(step_norms.max(initial=0))
    if peak == 0:
        return "vanishing", "no gradient comes here at all"
    ratio = log10(float(carry[-1])) if len(carry) else 0.0
    if ratio > EXPLODING_LOG10:
        return "exploding", f"a gradient is 1e{ratio:.1f} times as large {len(carry) - 1} steps back"
    if peak * rows > LARGE:
        return "exploding", f"dL/dh_t of a single row is {peak * rows:.1e}"
    if ratio < VANISHING_LOG10:
        left = "nothing" if ratio == -math.inf else f"1e{ratio:.1f}"
        return "vanishing", f"{left} of a gradient is left {len(carry) - 1} steps back"
    if peak < largest * 10**DEPTH_LOG10:
        return "vanishing", f"gradients are {peak / largest:.1e} of those in another layer"
    return "healthy", f"1e{ratio:+.1f} of a gradient is left {len(carry) - 1} steps back"


def advise(
    verdict: str,
    kind: str,
    carry: np.ndarray,
    saturated: Mapping[str, float],
    means: Mapping[str, float],
    radius: float | None,
    clipped: bool,
    deep: bool,
) -> tuple[str, ...]:
    """What to change in a layer, what helps most first.

    Parameters
    ----------
    verdict, kind : str
    carry, saturated, means, radius
        As `Flow` has them.
    clipped : bool
        Whether the optimizer clips gradients.
    deep : bool
        Whether the layer's gradients are small beside another layer's.
    """
    found: list[str] = []
    if verdict == "vanishing":
        found = _against_vanishing(kind, carry, means, radius, deep)
    elif verdict == "exploding":
        found = _against_exploding(kind, radius, clipped)
    full = [name for name, share in saturated.items() if share > SATURATED]
    # A forget or update gate that stays open is what keeps a gradient alive.
    full = [name for name in full if not (name in ("forget", "update") and means[name] > 0.5)]
    if full:
        found.append(
            f"{_listed(full)} {'is' if len(full) == 1 else 'are'} saturated: scale the inputs to a deviation of about "
            "1, lower the learning rate, or put LayerNormalization before the layer (Ba et al. 2016)"
        )
    return tuple(found)


def _against_vanishing(
    kind: str, carry: np.ndarray, means: Mapping[str, float], radius: float | None, deep: bool
) -> list[str]:
    lag = len(carry) - 1
    if deep:
        return [
            "gradients are lost between the layers: add the layer's input to its output (a residual connection), put "
            "LayerNormalization between layers (Ba et al. 2016), or take a layer away"
        ]
    found = []
    if kind == "SimpleRNN":
        found.append(
            "use LSTM or GRU in its place: their states pass a step by a gate, not by the recurrent weights "
            "(Hochreiter & Schmidhuber 1997; Cho et al. 2014)"
        )
        if radius is not None and radius < 0.95:
            found.append(
                f"the recurrent weights have spectral radius {radius:.2f}; recurrent_initializer='orthogonal' begins "
                "with 1 (Saxe et al. 2014)"
            )
    gate = {"LSTM": "forget", "GRU": "update"}.get(kind, "")
    if gate in means and means[gate] < 1 - 1 / max(lag, 2):
        bias = f"{math.log(max(lag, 2)):.1f}"
        first = "unit_forget_bias=True gives it 1 (Jozefowicz et al. 2015); " if kind == "LSTM" else ""
        found.append(
            f"the {gate} gate is {means[gate]:.2f} on average and keeps that share of the state each step; raise its "
            f"bias: {first}about {bias}, the logarithm of the steps to bridge, keeps the state over them "
            "(Tallec & Ollivier 2018)"
        )
    found.append(
        f"gradients reach back {horizon(carry)} of {lag} steps: shorten the sequences, take every few steps together, "
        "or give later layers all steps (return_sequences=True with attention or pooling), which makes short ways back"
    )
    return found


def _against_exploding(kind: str, radius: float | None, clipped: bool) -> list[str]:
    found = []
    if clipped:
        found.append("the optimizer clips gradients, which bounds the step, not its cause; keep it")
    else:
        found.append("clip gradients: Adam(clipnorm=1.0), or global_clipnorm (Pascanu et al. 2013)")
    if radius is not None and radius > 1.05:
        found.append(
            f"the recurrent weights have spectral radius {radius:.2f}; recurrent_initializer='orthogonal' begins with "
            "1 (Saxe et al. 2014)"
        )
    if kind == "SimpleRNN":
        found.append("use LSTM or GRU in its place (Hochreiter & Schmidhuber 1997; Cho et al. 2014)")
    found.append("lower the learning rate; scale inputs and targets to a deviation of about 1")
    found.append("cut sequences for training: fit(bptt_steps=...) (Williams & Peng 1990)")
    return found


def advise_on_updates(ratios: Mapping[str, float]) -> tuple[str, ...]:
    """What the sizes of the updates of weight matrices, relative to their norms, say about the learning rate."""
    fast = [name for name, ratio in ratios.items() if ratio > FAST_UPDATE]
    slow = [name for name, ratio in ratios.items() if 0 < ratio < SLOW_UPDATE]
    found = []
    if fast:
        found.append(
            f"an update changes {_listed(fast)} by more than {FAST_UPDATE:.0%}: lower the learning rate (about 0.1 % "
            "is usual), or begin with a small one that grows"
        )
    if slow:
        found.append(f"an update changes {_listed(slow)} by less than {SLOW_UPDATE:.0e} of it: raise the learning rate")
    return tuple(found)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
