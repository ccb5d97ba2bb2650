"""`RewardSTDP`: what pairs of spikes would change is remembered by their synapse, and changes its weight when a reward comes."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..population import View, as_view
from ..units import check_sign, scalar
from .learning import number_of, time_of
from .stdp import PairSTDP

REBASED_AFTER = 2  # times tau_c: the eligibility is kept as it was then, and would outgrow what floats hold


class PerStep(NamedTuple):
    """What a step of dt takes: the factor of the reward; what a reward of 1 and the baseline add to its integral; dt / tau_c."""

    fade: Any
    rewarded: Any
    baseline: Any
    rate: Any


@dataclass(frozen=True, eq=False, repr=False)
class RewardSTDP(PairSTDP):
    """Spike-timing-dependent plasticity that waits for a reward: pairs of spikes change an eligibility c, as `PairSTDP` changes a weight.

    `dc/dt = -c / tau_c`, `dw/dt = c (D / tau_reward - baseline)`, `dD/dt = -D / tau_reward`; a spike of the reward population makes D jump.
    One reward of size 1 that comes long before c has faded changes the weight by about c.

    Args:
      tau_pre, tau_post, a_pre, a_post, w_max, w_min, mu, interactions: as for `PairSTDP`, whose changes are those of c here.
      tau_c: how long a synapse is eligible, a time.
      tau_reward: how long a reward acts, a time.
      baseline: a frequency; without reward weights go the other way, by `-c baseline`.
      reward: a population, or a slice of one, whose spikes are the rewards (`SpikeSource` for given times); None if they are set from
        outside, `projection.reward = 1.0`, between runs or steps.
      jump: what one spike adds to D, of either sign.

    Raises:
      as in `PairSTDP`; TypeError: a reward that is no population.

    Izhikevich, Cereb. Cortex 17:2443 (2007); Potjans, Morrison & Diesmann, Front. Comput. Neurosci. 4:141 (2010), whose synapse in NEST
    (stdp_dopamine_synapse) this is with `n = D / tau_reward` and `b = baseline`. Synapses cost something only when one of their neurons
    spikes, and once every 2 tau_c; weights are kept within their bounds at these times.

    >>> import brainunit as u
    >>> from brainevent.projections import AllToAll, Expon, LIF, Network, Poisson, Projection, RewardSTDP
    >>> A, B = Poisson(2, rate=10 * u.Hz, name="A"), LIF(3, name="B")
    >>> learning = RewardSTDP(w_max=2 * u.pA, tau_c=1 * u.second)
    >>> projection = Projection(A, AllToAll(weight=1 * u.pA), Expon(tau=5 * u.ms), B, plasticity=learning)
    >>> net = Network(projection, dt=0.1 * u.ms)
    >>> projection.reward = 0.5
    >>> _ = net.run(200 * u.ms)
    >>> round(projection.reward, 4)
    0.1839
    """

    values: ClassVar[tuple[str, ...]] = ("w", "c", "g")
    tau_c: Any = field(default_factory=lambda: 1000 * u.ms)
    tau_reward: Any = field(default_factory=lambda: 200 * u.ms)
    baseline: Any = field(default_factory=lambda: 0 * u.Hz)
    reward: Any = None
    jump: Any = 1.0

    def __post_init__(self):
        super().__post_init__()
        for name in ("tau_c", "tau_reward"):
            object.__setattr__(self, name, time_of(getattr(self, name), f"RewardSTDP: {name}"))
        expected = "a frequency of at least 0 Hz"
        check_sign(
            scalar(self.baseline, u.kHz, "RewardSTDP: baseline", expected), self.baseline, "RewardSTDP: baseline", expected, zero=True
        )
        object.__setattr__(self, "jump", number_of(self.jump, "RewardSTDP: jump"))
        if self.reward is not None:
            try:
                object.__setattr__(self, "reward", as_view(self.reward))
            except TypeError as error:
                raise TypeError(f"RewardSTDP: reward: {error}, or None") from None

    @property
    def signal(self) -> View | None:
        """The neurons whose spikes are rewards."""
        return self.reward

    # `c` holds the eligibility of a synapse as it was at the last rebase, so that nothing has to fade, and `G` the integral since then of
    # what c is multiplied by: between two looks at a synapse, its weight changes by c times the change of G. `g` is G at the last look.

    def initial(self, projection):
        each = {name: np.zeros(projection.n_stored) for name in ("c", "g")}
        return super().initial(projection) | each | {"D": np.zeros(()), "G": np.zeros(()), "since": np.zeros((), np.int32)}

    def operands(self, projection, dt):
        fast, slow = 1 / scalar(self.tau_reward, u.ms, "tau_reward"), 1 / scalar(self.tau_c, u.ms, "tau_c")
        both, baseline = fast + slow, scalar(self.baseline, u.kHz, "baseline")
        step = np.exp(-dt * fast), -fast * np.expm1(-dt * both) / both, -baseline * np.expm1(-dt * slow) / slow, dt * slow
        return *super().operands(projection, dt), PerStep(*(jnp.asarray(number, jnp.result_type(float)) for number in step))

    def advance(self, state, operands):
        step = operands[3]
        G = state["G"] + jnp.exp(-state["since"] * step.rate) * (state["D"] * step.rewarded - step.baseline)
        state = state | {"G": G, "D": state["D"] * step.fade, "since": state["since"] + 1}
        return state | {"scale": jnp.exp(state["since"] * step.rate)}

    def transmit(self, state, operands, matrix, spikes, place):
        state = state | self.changed(state, Looked(self), matrix.replace(data=None), spikes, (), (), axis=0)
        return super().transmit(state, operands, matrix, spikes, place)

    def learn(self, state, operands, matrix, pre, post, readers, dt, signal):
        state = super().learn(state, operands, matrix, pre, post, readers, dt, signal)
        due = state["since"] * operands[3].rate >= REBASED_AFTER
        everywhere = jnp.broadcast_to(due, matrix.shape[:1])
        state |= self.changed(state, Looked(self, rebased=True), matrix.replace(data=None), everywhere, (), (), axis=0)
        state |= {"G": jnp.where(due, 0, state["G"]), "since": jnp.where(due, 0, state["since"])}
        del state["scale"]
        if signal is not None:
            state["D"] = state["D"] + self.jump * signal.sum(dtype=state["D"].dtype)
        return state

    def shared(self, state):
        return state["G"], state["scale"]

    def looked(self, values: tuple, G):
        """The values of a synapse, its weight up to date."""
        w, c, g = values
        return self.bounded(w + c * (G - g)), c, G + 0 * g

    def on_spike(self, axis, values, pre, post, shared):
        G, scale = shared
        w, c, g = self.looked(values, G)
        change = self.step(self.a_pre, w) * pre["x"] if axis else self.step(self.a_post, w) * post["y"]
        return w, c + change * scale, g

    def weights(self, state):
        return self.looked((state["w"], state["c"], state["g"]), state["G"])[0]

    def with_weights(self, state, w):
        return {"w": w, "g": jnp.full(w.shape, state["G"], w.dtype)}


@dataclass(frozen=True)
class Looked:
    """A look at a synapse that changes nothing but what is out of date; or after which all times are counted from now."""

    rule: RewardSTDP
    rebased: bool = False

    def __call__(self, values, own, other, shared):
        G, scale = shared
        w, c, g = self.rule.looked(values, G)
        return (w, c / scale, 0 * g) if self.rebased else (w, c, g)
