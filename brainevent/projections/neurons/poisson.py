"""`Poisson`: a source population whose neurons spike at random."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..clock import random_bits
from ..population import Population
from ..units import check_sign, per_neuron


class Poisson(Population):
    """Independent Poisson sources: in each step a neuron spikes with probability `rate * dt` (to 2^-32).

    Args:
      size: number of neurons.
      rate: a frequency, scalar or (size,); `rate * dt` must not pass 1 (for more than one spike a step, use `PoissonInput`).
      name: the name in summaries and errors.

    >>> import brainunit as u
    >>> from brainevent.projections import Poisson
    >>> Poisson(100, rate=10 * u.Hz, name="noise")
    Poisson(100, name='noise')
    """

    state_units: ClassVar = {"spikes": None}

    def __init__(self, size, *, rate, name=None):
        super().__init__(size, name=name)
        owner = f"Poisson {self.label}".rstrip()
        self.rate = per_neuron(rate, u.kHz, self.size, f"{owner}: rate")
        check_sign(self.rate, rate, f"{owner}: rate", "at least 0 Hz", zero=True)
        self._make_states()

    def initial(self, rng):
        return {"spikes": np.zeros(self.size, bool)}

    def check_step(self, dt):
        most = np.max(self.rate) * dt
        if most > 1:
            raise ValueError(f"{self!r}: rate * dt is {most:.3g}, above one spike a step: use a smaller dt, or PoissonInput")

    def advance(self, state, synapses, external, clock):
        if external is not None:
            raise ValueError(f"inputs: {self!r} is a source and takes no current")
        probability = np.asarray(self.rate) * clock.dt
        bits = random_bits(clock.key(self.label), self.size)
        threshold = jnp.asarray(np.minimum(np.rint(probability * 2.0**32), 2.0**32 - 1).astype(np.uint32))
        return {}, bits < threshold
