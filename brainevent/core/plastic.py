"""Operations of plasticity in a running network: what a spike releases, and weights that learn. Only neurons that spiked cost anything.

As in `updates`: a backend with kernels of its own updates in place, and plain XLA does the same everywhere else.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .updates import _choose


class Resources(NamedTuple):
    """What short-term plasticity knows of each pre neuron, or of each synapse, since the last spike.

    used: floats (m,), the part u of the resources that a spike uses, after the jump of the last spike. left: floats (m,), the part x that
    the last spike has left. last: int32 (n_pre,), the number of the step of the last spike, modulo 2^32.
    """

    used: jax.Array
    left: jax.Array
    last: jax.Array


class Kinetics(NamedTuple):
    """Its parameters, floats (1,) or (m,): U; by how much a step lets u fade, and x recover, as exponents."""

    U: Any
    fades: Any
    recovers: Any


def release(resources: Resources, sent, A, w, spikes, place, kinetics: Kinetics):
    """Let the pre neurons that spiked release what they have, as Tsodyks, Pawelzik & Markram (1998) map one spike to the next.

    Args:
      resources: m is the number of pre neurons where A is None, else of synapses; updated in place where the backend can.
      sent: floats (m,), updated in place: `w u x` of the neurons that spiked; where A is None, 0 for the others.
      A: a connectivity by row, without weights, or None.
      w: its weights, floats (m,) or a scalar; None where A is.
      spikes: bool (n_pre,).
      place: int32 scalar, the number of this step, modulo 2^32.

    Returns:
      `(resources, sent)`.
    """
    run = _choose("release", A, sent.dtype)
    return _release(run, resources, sent, A, w, spikes, place, Kinetics(*(jnp.atleast_1d(jnp.asarray(k, sent.dtype)) for k in kinetics)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _release(run, resources, sent, A, w, spikes, place, kinetics):
    return run(resources, sent, A, w, spikes, place, kinetics)


@_release.defjvp
def _release_jvp(run, primals, tangents):
    resources, sent, A, w, spikes, place, kinetics = primals
    d_resources, d_sent, _, d_w, _, _, d_kinetics = tangents

    def plain(used, left, sent, w, kinetics):
        (used, left, _), sent = released(Resources(used, left, resources.last), sent, A, w, spikes, place, kinetics)
        return used, left, sent

    at = resources.used, resources.left, sent, w, kinetics
    used, left, sent = jax.jvp(plain, at, (d_resources.used, d_resources.left, d_sent, d_w, d_kinetics))[1]
    none: Any = np.zeros(resources.last.shape, jax.dtypes.float0)
    return _release(run, *primals), (Resources(used, left, none), sent)


def released(resources: Resources, sent, A, w, spikes, place, kinetics: Kinetics):
    """The same for all neurons, or all synapses, at once, with the derivatives of it."""
    of = slice(None) if A is None else A.lines()
    spiked = spikes[of]
    steps = jax.lax.bitcast_convert_type(place - resources.last, jnp.uint32)[of].astype(sent.dtype)
    used = kinetics.U + resources.used * (1 - kinetics.U) * jnp.exp(-steps * kinetics.fades)
    there = 1 - (1 - resources.left) * jnp.exp(-steps * kinetics.recovers)
    sent = jnp.where(spiked, used * there * (1 if w is None else jnp.reshape(w, -1)), 0 if A is None else sent)
    used, left = jnp.where(spiked, used, resources.used), jnp.where(spiked, there * (1 - used), resources.left)
    return Resources(used, left, jnp.where(spikes, place, resources.last)), sent


def learn(rule: Callable, A, w, spikes, own: tuple, other: tuple, *, axis: int, places=None, readers: tuple = ()):
    """Change the weights of every synapse of a neuron that spiked: `w = rule(w, own, other)`.

    Args:
      rule: a function of numbers: a weight, a tuple of the traces of the neuron that spiked, and of those of the neuron at the other end.
        It is traced; equal rules must be the same object, or compare equal.
      A: a connectivity without weights, whose lines are those of `axis`.
      w: its weights, plain floats (nse,); updated in place where the backend can.
      spikes: bool (A.shape[axis],).
      own: floats (A.shape[axis],) each. other: floats (A.shape[1 - axis],) each.
      axis: 0 if `spikes` are of the pre neurons, 1 if of the post neurons.
      places: where in `w` the weight of each synapse stands, integers (nse,); None if they stand in order.
      readers: arrays that were computed from `w` as it was: a reason to come after what computed them, so that nothing is copied.

    Returns:
      The new weights.
    """
    return _learn(_choose("learn", A, w.dtype), rule, axis, A, w, spikes, own, other, places, readers)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _learn(run, rule, axis, A, w, spikes, own, other, places, readers):
    return run(rule, A, w, spikes, own, other, axis=axis, places=places, readers=readers)


@_learn.defjvp
def _learn_jvp(run, rule, axis, primals, tangents):
    A, w, spikes, own, other, places, _ = primals
    d_values = tangents[1], tangents[3], tangents[4]

    def plain(w, own, other):
        return learned(rule, A, w, spikes, own, other, axis, places)

    return _learn(run, rule, axis, *primals), jax.jvp(plain, (w, own, other), d_values)[1]


def learned(rule: Callable, A, w, spikes, own: tuple, other: tuple, axis: int, places):
    """The same for all synapses at once, with the derivatives of it."""
    of, ends = A.lines(), A.indices.reshape(-1)
    places = slice(None) if places is None else places
    before = w[places]
    after = jax.vmap(rule)(before, tuple(trace[of] for trace in own), tuple(trace[ends] for trace in other))
    return w.at[places].set(jnp.where(spikes[of], after, before))


def scalar_program(rule: Callable, dtype, n_own: int, n_other: int):
    """The jaxpr of a rule on numbers of one dtype, and how many traces of either end it takes: what a backend makes code of."""
    number = jax.ShapeDtypeStruct((), dtype)
    return jax.make_jaxpr(rule)(number, (number,) * n_own, (number,) * n_other)
