"""`AMPA`, `GABAa`, `KineticNMDA`: receptors that bind transmitter while a pulse of it lasts, and so saturate."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..plasticity.base import Plasticity
from ..units import check_sign, scalar, whole_steps
from .base import Output, TimedSynapse, numeric_peak
from .outputs import COBA, MgBlock


@dataclass(frozen=True, eq=False, repr=False)
class _Kinetic(TimedSynapse):
    """`dr/dt = alpha T (1 - r) - beta r`, T a pulse after each spike: `g = w r`, summed over synapses.

    r belongs to the pre neuron (of a projection), and g decays with beta for all synapses alike. So what a neuron whose pulse lasts adds
    to g in a step is `w (r' - r e^(-beta dt))`, r' the r after the step: g is exact at every step, and only such neurons deliver.
    """

    alpha: Any
    beta: Any
    T: Any = 1.0
    T_dur: Any = field(default_factory=lambda: 1 * u.ms)
    output: Output = COBA(E=0 * u.mV)  # noqa: RUF009  (frozen: one serves all)
    times = ("T_dur",)

    def __post_init__(self):
        super().__post_init__()
        kind, rate = type(self).__name__, "a positive rate"
        for name, unit, expected in (("alpha", u.kHz, rate), ("beta", u.kHz, rate), ("T", u.UNITLESS, "above 0 mM")):
            number = scalar(getattr(self, name), unit, f"{kind}: {name}", f"one number, {expected}")
            check_sign(number, getattr(self, name), f"{kind}: {name}", expected, zero=False)
        scalar(self.T_dur, u.ms, f"{kind}: T_dur", "one positive time")

    @property
    def responds_exactly(self):
        return False

    def rates(self) -> tuple[float, float, float]:
        """`(1 / tau, r_inf, beta)` of r during a pulse, and beta: 1 / ms."""
        binds, beta = scalar(self.alpha, u.kHz, "alpha") * scalar(self.T, u.UNITLESS, "T"), scalar(self.beta, u.kHz, "beta")
        return binds + beta, binds / (binds + beta), beta

    def shape(self, t):
        """r at the times t (ms) after one spike from rest."""
        rate, most, beta = self.rates()
        length = self.in_ms("T_dur")
        return most * -np.expm1(-rate * np.minimum(t, length)) * np.exp(-beta * np.maximum(t - length, 0))

    def initial(self, size):
        return {"g": np.zeros(size)}

    def targets(self):
        return "g"

    def decay_factors(self, dt):
        return {"g": np.exp(-dt * self.rates()[2])}

    def transmission(self):
        return Binding(self)

    def peak(self, weight, own):
        return numeric_peak(weight, own, self.output, self.shape, float(self.in_ms("T_dur")) + 1 / self.rates()[2])


@dataclass(frozen=True, eq=False, repr=False)
class Binding(Plasticity):
    """What the receptors of a kinetic synapse bind: r of each pre neuron, and how long its pulse lasts yet."""

    merges: ClassVar[bool] = True
    synapse: _Kinetic

    def by_synapse(self, projection):
        return False

    def operands(self, projection, dt):
        """`(steps of a pulse, r_inf, factors of a step in and after a pulse)`."""
        rate, most, beta = self.synapse.rates()
        steps = whole_steps(self.synapse.in_ms("T_dur"), dt, f"{projection.name}: T_dur of {self.synapse!r}")
        if steps < 1:
            raise ValueError(f"{projection.name}: T_dur of {self.synapse!r} is less than half a step of dt = {dt:.6g} ms: use a smaller dt")
        numbers = np.array([most, np.exp(-rate * dt), np.exp(-beta * dt)], jnp.result_type(float))
        return np.int32(steps), *(jnp.asarray(number) for number in numbers)

    def initial(self, projection):
        return {"r": np.zeros(projection.pre.size), "pulse": np.zeros(projection.pre.size, np.int32)}

    def transmit(self, state, operands, matrix, spikes, place):
        steps, most, binds, frees = operands
        r, pulse = state["r"], state["pulse"]
        on, freed = pulse > 0, r * frees
        after = jnp.where(on, most + (r - most) * binds, freed)
        return {"r": after, "pulse": jnp.where(spikes, steps, jnp.maximum(pulse - 1, 0))}, matrix, jnp.where(on, after - freed, 0)


@dataclass(frozen=True, eq=False, repr=False)
class AMPA(_Kinetic):
    """AMPA receptors: `g = w r`, `dr/dt = alpha T (1 - r) - beta r`, with T mM of transmitter for T_dur after each spike.

    Args:
      alpha: rate of binding at 1 mM.
      beta: rate of unbinding.
      T: transmitter in mM, a plain number.
      T_dur: how long a pulse lasts, in whole steps; a spike within one makes it last as long from there.
      output: `COBA(E=...)`; the weight is the conductance when all receptors are bound.

    Raises:
      brainunit.UnitMismatchError, ValueError: rates and times that are none, or not positive.

    Destexhe, Mainen & Sejnowski, Neural Computation 6:14 (1994); values of their chapter in Koch & Segev (eds.), Methods in Neuronal
    Modeling (1998). Exact. A spike delivers in every step of its pulse.

    >>> import brainunit as u
    >>> from brainevent.projections import AMPA
    >>> AMPA().shape(1.0).round(4)  # bound 1 ms after a spike
    np.float64(0.618)
    """

    alpha: Any = field(default_factory=lambda: 1.1 / u.ms)
    beta: Any = field(default_factory=lambda: 0.19 / u.ms)


@dataclass(frozen=True, eq=False, repr=False)
class GABAa(_Kinetic):
    """GABA-A receptors: as `AMPA`.

    Args:
      alpha, beta, T, T_dur, output: as in `AMPA`.

    Raises:
      as in `AMPA`.

    >>> import brainunit as u
    >>> from brainevent.projections import GABAa
    >>> GABAa().shape(1.0).round(4)
    np.float64(0.9598)
    """

    alpha: Any = field(default_factory=lambda: 5 / u.ms)
    beta: Any = field(default_factory=lambda: 0.18 / u.ms)
    output: Output = COBA(E=-80 * u.mV)  # noqa: RUF009  (frozen: one serves all)


@dataclass(frozen=True, eq=False, repr=False)
class KineticNMDA(_Kinetic):
    """NMDA receptors that saturate: as `AMPA`, blocked by magnesium. (`NMDA` is the form whose spikes add up.)

    Args:
      alpha, beta, T, T_dur: as in `AMPA`.
      output: `MgBlock(E=...)`.

    Raises:
      as in `AMPA`.

    >>> import brainunit as u
    >>> from brainevent.projections import KineticNMDA
    >>> KineticNMDA().shape(1.0).round(4)
    np.float64(0.0692)
    """

    alpha: Any = field(default_factory=lambda: 0.072 / u.ms)
    beta: Any = field(default_factory=lambda: 0.0066 / u.ms)
    output: Output = MgBlock()  # noqa: RUF009  (frozen: one serves all)
