"""`PairSTDP`, `TripletSTDP`, `VogelsISTDP`: weights that learn from the timing of pre and post spikes."""

from dataclasses import dataclass, field
from typing import Any

import brainunit as u
import jax.numpy as jnp

from ..units import check_sign, scalar
from .learning import Learning, number_of, time_of, weight_of


@dataclass(frozen=True, eq=False, repr=False)
class PairSTDP(Learning):
    """Spike-timing-dependent plasticity of pairs of spikes: a post spike adds `a_pre w_max x`, a pre spike `a_post w_max y`.

    x and y are traces of the pre and the post spikes: a pair that is t apart changes the weight by `a_pre w_max exp(-t / tau_pre)` if the
    pre spike was first, by `a_post w_max exp(-t / tau_post)` if the post spike was.

    Args:
      tau_pre, tau_post: times.
      a_pre, a_post: fractions of w_max, of either sign.
      w_max, w_min: bounds, weights of the projection; w_min is 0 if left out.
      mu: 0 for weights that are cut at the bounds (Song 2000); 1 for changes in proportion to the distance from the bound that they go to,
        `(w_max - w) / (w_max - w_min)` up and `(w - w_min) / (w_max - w_min)` down (van Rossum 2000); its power in between (Gutig 2003).
      interactions: "all" pairs of spikes, or for each spike the "nearest" earlier one of the other neuron.

    Raises:
      brainunit.UnitMismatchError, ValueError: a parameter in the wrong unit or out of its range.

    Song, Miller & Abbott, Nature Neurosci. 3:919 (2000); Morrison, Diesmann & Gerstner, Biol. Cybern. 98:459 (2008).

    >>> import brainunit as u
    >>> from brainevent.projections import PairSTDP
    >>> PairSTDP(tau_pre=20 * u.ms, tau_post=20 * u.ms, a_pre=0.01, a_post=-0.012, w_max=10 * u.nS).on_post(5.0, {"x": 1.0}, {"y": 0.0})
    5.1
    """

    tau_pre: Any = field(default_factory=lambda: 20 * u.ms)
    tau_post: Any = field(default_factory=lambda: 20 * u.ms)
    a_pre: Any = 0.005
    a_post: Any = -0.00525
    w_max: Any = None
    w_min: Any = None
    mu: float = 0.0
    interactions: str = "all"

    def __post_init__(self):
        kind = type(self).__name__
        if self.w_max is None:
            raise ValueError(f"{kind}: w_max is missing: give it as a weight, 10 * u.nS")
        if self.w_min is None:
            object.__setattr__(self, "w_min", 0 * u.get_unit(self.w_max))
        for name in ("tau_pre", "tau_post"):
            object.__setattr__(self, name, time_of(getattr(self, name), f"{kind}: {name}"))
        for name in ("a_pre", "a_post", "mu"):
            object.__setattr__(self, name, number_of(getattr(self, name), f"{kind}: {name}"))
        check_sign(self.mu, self.mu, f"{kind}: mu", "at least 0", zero=True)
        self.check_bounds()

    def traces(self):
        return {"x": self.tau_pre}, {"y": self.tau_post}

    def on_pre(self, w, pre, post):
        return w + self.step(self.a_post, w) * post["y"]

    def on_post(self, w, pre, post):
        return w + self.step(self.a_pre, w) * pre["x"]

    def step(self, a, w):
        """The change for a trace of 1."""
        low, high = weight_of(self, "w_min"), weight_of(self, "w_max")
        if self.mu == 0:
            return a * high
        room = (high - w if a > 0 else w - low) / (high - low)
        return a * high * jnp.maximum(room, 0) ** self.mu


@dataclass(frozen=True, eq=False, repr=False)
class TripletSTDP(Learning):
    """Spike-timing-dependent plasticity of triplets of spikes, which makes what pairs do depend on how fast they come.

    With traces r1, r2 of the pre spikes and o1, o2 of the post spikes, a pre spike changes the weight by
    `-w_scale o1 (A2_minus + A3_minus r2)`, a post spike by `w_scale r1 (A2_plus + A3_plus o2)`, r2 and o2 as they were before the spike.

    Args:
      w_scale: the weight that changes are fractions of, a weight of the projection.
      A2_plus, A3_plus, A2_minus, A3_minus: amplitudes of pairs and triplets, at least 0.
      tau_plus, tau_minus, tau_x, tau_y: times of r1, o1, r2 and o2.
      w_min, w_max: bounds, weights; w_min is 0 if left out, without w_max weights grow freely.
      interactions: "all" spikes, or the "nearest".

    Raises:
      as in `PairSTDP`.

    Pfister & Gerstner, J. Neurosci. 26:9673 (2006); the amplitudes and times are those of its full model of visual cortex, all-to-all.

    >>> import brainunit as u
    >>> from brainevent.projections import TripletSTDP
    >>> TripletSTDP(w_scale=1 * u.nS).traces()[1]["o2"]
    Quantity(125., "ms")
    """

    w_scale: Any = None
    A2_plus: Any = 5e-10
    A3_plus: Any = 6.2e-3
    A2_minus: Any = 7e-3
    A3_minus: Any = 2.3e-4
    tau_plus: Any = field(default_factory=lambda: 16.8 * u.ms)
    tau_minus: Any = field(default_factory=lambda: 33.7 * u.ms)
    tau_x: Any = field(default_factory=lambda: 101 * u.ms)
    tau_y: Any = field(default_factory=lambda: 125 * u.ms)
    w_min: Any = None
    w_max: Any = None
    interactions: str = "all"

    def __post_init__(self):
        if self.w_scale is None:
            raise ValueError("TripletSTDP: w_scale is missing: give it as a weight, 1 * u.nS")
        if self.w_min is None:
            object.__setattr__(self, "w_min", 0 * u.get_unit(self.w_scale))
        for name in ("tau_plus", "tau_minus", "tau_x", "tau_y"):
            object.__setattr__(self, name, time_of(getattr(self, name), f"TripletSTDP: {name}"))
        for name in ("A2_plus", "A3_plus", "A2_minus", "A3_minus"):
            given, what = getattr(self, name), f"TripletSTDP: {name}"
            object.__setattr__(self, name, number_of(given, what))
            check_sign(getattr(self, name), given, what, "at least 0", zero=True)
        check_sign(weight_of(self, "w_scale"), self.w_scale, "TripletSTDP: w_scale", "a positive weight", zero=False)
        self.check_bounds()

    def traces(self):
        return {"r1": self.tau_plus, "r2": self.tau_x}, {"o1": self.tau_minus, "o2": self.tau_y}

    def on_pre(self, w, pre, post):
        return w - weight_of(self, "w_scale") * post["o1"] * (self.A2_minus + self.A3_minus * pre["r2"])

    def on_post(self, w, pre, post):
        return w + weight_of(self, "w_scale") * pre["r1"] * (self.A2_plus + self.A3_plus * post["o2"])


@dataclass(frozen=True, eq=False, repr=False)
class VogelsISTDP(Learning):
    """Inhibitory plasticity that brings the post neurons to a rate: a pre spike adds `eta (y - 2 rate tau)`, a post spike `eta x`.

    Args:
      eta: a weight of the projection.
      rate: the rate to come to, a frequency.
      tau: the time of both traces.
      w_min, w_max: bounds, weights; w_min is 0 if left out, without w_max weights grow freely.

    Raises:
      as in `PairSTDP`.

    Vogels, Sprekeler, Zenke, Clopath & Gerstner, Science 334:1569 (2011).

    >>> import brainunit as u
    >>> from brainevent.projections import VogelsISTDP
    >>> round(VogelsISTDP(eta=1 * u.nS, rate=5 * u.Hz).on_pre(3.0, {"x": 0.0}, {"y": 0.0}), 6)  # 3 - 2 * 5 Hz * 20 ms
    2.8
    """

    eta: Any = None
    rate: Any = field(default_factory=lambda: 5 * u.Hz)
    tau: Any = field(default_factory=lambda: 20 * u.ms)
    w_min: Any = None
    w_max: Any = None

    def __post_init__(self):
        if self.eta is None:
            raise ValueError("VogelsISTDP: eta is missing: give it as a weight, 0.01 * u.nS")
        if self.w_min is None:
            object.__setattr__(self, "w_min", 0 * u.get_unit(self.eta))
        object.__setattr__(self, "tau", time_of(self.tau, "VogelsISTDP: tau"))
        expected = "a frequency of at least 0 Hz"
        check_sign(scalar(self.rate, u.kHz, "VogelsISTDP: rate", expected), self.rate, "VogelsISTDP: rate", expected, zero=True)
        weight_of(self, "eta")
        self.check_bounds()

    def traces(self):
        return {"x": self.tau}, {"y": self.tau}

    def on_pre(self, w, pre, post):
        aim = 2 * scalar(self.rate, u.kHz, "rate") * scalar(self.tau, u.ms, "tau")
        return w + weight_of(self, "eta") * (post["y"] - aim)

    def on_post(self, w, pre, post):
        return w + weight_of(self, "eta") * pre["x"]
