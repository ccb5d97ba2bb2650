"""`Poisson`: a source population whose neurons spike at random."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from ...core.updates import draw_counts
from ..clock import random_bits
from ..population import Population
from ..time_function import Rate


class Poisson(Population):
    """Independent Poisson sources: in each step a neuron spikes with probability `rate * dt` (to 2^-32).

    Args:
      size: number of neurons.
      rate: a frequency, scalar or (size,), or a function of time (a Quantity in ms) that returns one; `rate * dt` must not pass 1 (for more
        than one spike a step, use `PoissonInput`), and what a function returns is cut at 0 and at 1 / dt.
      name: the name in summaries and errors.

    >>> import brainunit as u
    >>> from brainevent.projections import Poisson
    >>> Poisson(100, rate=10 * u.Hz, name="noise")
    Poisson(100, name='noise')
    """

    state_units: ClassVar = {"spikes": None}

    def __init__(self, size, *, rate, name=None):
        super().__init__(size, name=name)
        self.rate = Rate(rate, self.size, f"{f'Poisson {self.label}'.rstrip()}: rate")
        self._make_states()

    def loop_key(self):
        return self.rate.loop_key()

    def initial(self, rng):
        return {"spikes": np.zeros(self.size, bool)}

    def check_step(self, dt):
        most = np.max(self.rate.constant) * dt
        if most > 1:
            raise ValueError(f"{self!r}: rate * dt is {most:.3g}, above one spike a step: use a smaller dt, or PoissonInput")

    def advance(self, state, synapses, external, clock):
        if external is not None:
            raise ValueError(f"inputs: {self!r} is a source and takes no current")
        key = clock.key(self.label)
        if self.rate.function is not None:  # 24 bits of a float are as many of the probability
            chance = jnp.minimum(self.rate.at(clock.time) * clock.dt, 1)
            return {}, (random_bits(key, self.size) >> 8).astype(chance.dtype) < chance * 2.0**24
        chances, which = np.unique(self.rate.constant * clock.dt, return_inverse=True)
        below = np.minimum(np.rint(chances * 2.0**32), 2.0**32 - 1).astype(np.uint32)
        rows = which.astype(np.int32) if np.ndim(self.rate.constant) else None
        return {}, draw_counts(key, below[:, None], rows, self.size, jnp.result_type(float)) == 0
