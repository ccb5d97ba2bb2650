"""`TsodyksMarkram`: short-term facilitation and depression."""

from dataclasses import dataclass, field
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ...core.plastic import Kinetics, Resources, release
from ..units import check_sign, plain
from .base import Plasticity

UNITS = {"U": u.UNITLESS, "tau_rec": u.ms, "tau_facil": u.ms}


@dataclass(frozen=True, eq=False, repr=False)
class TsodyksMarkram(Plasticity):
    """Short-term plasticity: a spike delivers `weight u x`, u the part of the resources x that it uses.

    Between spikes `dx/dt = (1 - x) / tau_rec`, `du/dt = -u / tau_facil`; at a spike u jumps by `U (1 - u)`, the spike delivers, and x drops
    by `u x`. The first spike delivers `weight U`.

    Args:
      U: from above 0 to 1.
      tau_rec: a time above 0.
      tau_facil: a time of at least 0, 0 for no facilitation.
        Each a scalar, one a synapse in the order of `proj.pairs()`, or one a pre neuron (of shape (n_pre, 1) where as many synapses as
        neurons make that doubtful). Only where one of them is one a synapse does every synapse have a state of its own.

    Raises:
      brainunit.UnitMismatchError, ValueError: a parameter in the wrong unit, out of its range, or of a wrong shape.

    Tsodyks, Pawelzik & Markram, Neural Computation 10:821 (1998), as in tsodyks2_synapse of NEST. The state goes from spike to spike; a
    neuron that is silent costs nothing.

    >>> import brainunit as u
    >>> from brainevent.projections import TsodyksMarkram
    >>> TsodyksMarkram(U=0.2, tau_rec=130 * u.ms, tau_facil=530 * u.ms)
    TsodyksMarkram(U=0.2, tau_rec=130 ms, tau_facil=530 ms)
    """

    U: Any = 0.5
    tau_rec: Any = field(default_factory=lambda: 800 * u.ms)
    tau_facil: Any = field(default_factory=lambda: 1 * u.ms)

    def __post_init__(self):
        for name, unit in UNITS.items():
            value, what = getattr(self, name), f"TsodyksMarkram: {name}"
            number, zero = np.asarray(plain(value, unit, what), np.float64), name == "tau_facil"
            expected = {"U": "above 0, at most 1", "tau_rec": "a positive time", "tau_facil": "a time of at least 0 ms"}[name]
            check_sign(number, value, what, expected, zero=zero)
            if name == "U" and np.any(number > 1):
                raise ValueError(f"{what} is {number.max():.6g}, expected {expected}")
            if number.ndim > 2 or (number.ndim == 2 and number.shape[1] != 1):
                raise ValueError(f"{what} has shape {number.shape}, expected one number, one a synapse, or one a pre neuron")
            number = float(number.reshape(())) if number.size == 1 else number
            object.__setattr__(self, name, number if unit == u.UNITLESS else number * unit)

    def _numbers(self, name: str) -> np.ndarray:
        return np.asarray(plain(getattr(self, name), UNITS[name], name), np.float64)

    def by_synapse(self, projection):
        return any(self._one_a_synapse(self._numbers(name), projection) for name in UNITS)

    def of_synapses(self, projection):
        return ("used", "left", "sent") if self.by_synapse(projection) else ()

    @staticmethod
    def _one_a_synapse(number, projection) -> bool:
        return number.ndim == 1 and (number.size != projection.pre.size or number.size == projection.n_stored)

    def _fitted(self, name: str, projection):
        """A parameter as floats: one, one a pre neuron, or one a synapse as they are stored, as the states are."""
        number, n_pre, n = self._numbers(name), projection.pre.size, projection.n_stored
        by_synapse, number = self._one_a_synapse(number, projection), number.reshape(-1)
        if number.size not in (1, n if by_synapse else n_pre):
            raise ValueError(
                f"{projection.name}: TsodyksMarkram: {name} has {number.size} values, expected one, {n} (one a synapse), or {n_pre} (one a "
                "pre neuron)"
            )
        if by_synapse or number.size == 1 or not self.by_synapse(projection):
            return projection.stored(number) if by_synapse else number
        return number[np.asarray(projection.matrix.lines())]

    def operands(self, projection, dt):
        U, rec, facil = (self._fitted(name, projection) for name in ("U", "tau_rec", "tau_facil"))
        with np.errstate(divide="ignore"):
            return Kinetics(*(jnp.asarray(part, jnp.result_type(float)) for part in (U, dt / facil, dt / rec)))

    def initial(self, projection):
        for name in UNITS:
            self._fitted(name, projection)
        size = projection.n_stored if self.by_synapse(projection) else projection.pre.size
        states = {"used": np.zeros(size), "left": np.ones(size), "sent": np.zeros(size)}
        return states | {"last": np.full(projection.pre.size, -1, np.int32)}

    def transmit(self, state, operands, matrix, spikes, place):
        each, resources = state["used"].size != state["last"].size, Resources(state["used"], state["left"], state["last"])
        A, w = (matrix.replace(data=None), matrix.data) if each else (None, None)
        resources, sent = release(resources, state["sent"], A, w, spikes, place, operands)
        state = {"used": resources.used, "left": resources.left, "last": resources.last, "sent": sent}
        if not each:
            return state, matrix, sent
        return state, matrix.replace(data=sent.reshape(matrix.weights_shape)), spikes
