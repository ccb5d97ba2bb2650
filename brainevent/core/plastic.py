"""Operations of plasticity in a running network: what a spike releases, and weights that learn. Only neurons that spiked cost anything.

As in `updates`: a backend with kernels of its own updates in place, and plain XLA does the same everywhere else.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .table import chosen
from .updates import Arrivals, arrived, chosen_for


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
    run = chosen("release", A, sent.dtype)
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


def remember(ring, trace, place):
    """Write a trace, floats (n,), into the slot of this step of a ring, (slots, n), a power of two; in place where the backend can."""
    return _remember(chosen("remember", dtype=ring.dtype), ring, trace, place)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _remember(run, ring, trace, place):
    return run(ring, trace, place)


@_remember.defjvp
def _remember_jvp(run, primals, tangents):
    d_ring, d_trace, _ = tangents
    return _remember(run, *primals), remembered(d_ring, d_trace, primals[2])


def remembered(ring, trace, place):
    """The same by plain indexing, with the derivatives of it."""
    return ring.at[place & (ring.shape[0] - 1)].set(trace)


class Past(NamedTuple):
    """How long the spikes that act now were under way: `steps`, unsigned integers (nse,), over each synapse of a connectivity, as it orders
    them; `place`, int32 scalar, the number of this step, modulo 2^32.
    """

    steps: Any
    place: Any


def learn(
    rule: Callable, A, values: tuple, spikes, own: tuple, other: tuple, shared: tuple = (), *, axis: int, places=None, past=None, readers=()
):
    """Change the values of every synapse of a neuron that spiked: `values = rule(values, own, other, shared)`.

    Args:
      rule: a function of numbers: a tuple of the values of a synapse, its weight first; tuples of the traces of the neuron that spiked, and
        of those of the neuron at the other end; what all share. It returns a tuple of values. It is traced; equal rules must be the same
        object, or compare equal.
      A: a connectivity without weights, whose lines are those of `axis`.
      values: floats (nse,) each; updated in place where the backend can.
      spikes: bool (A.shape[axis],); or `Arrivals`, over the synapses of A, whose axis is then 0.
      own: floats (A.shape[axis],) each. other: floats (A.shape[1 - axis],) each. Where synapses have delays of their own, those of the pre
        neurons are rings, (slots, n_pre), a power of two of slots, more than one step longer than the longest delay: their values at the
        end of each step, this one among them. As `own`, those at the end of the step before the spike was sent are taken.
      shared: float scalars.
      axis: 0 if `spikes` are of the pre neurons, 1 if of the post neurons.
      places: where in the values those of each synapse stand, integers (nse,); None if they stand in order.
      past: a `Past`, where `other` are rings.
      readers: arrays that were computed from the values as they were: a reason to come after what computed them, so that nothing is copied.

    Returns:
      The new values.
    """
    first, values = None, tuple(jnp.asarray(value) for value in values)
    late, dtype = isinstance(spikes, Arrivals), values[0].dtype
    run = chosen_for(spikes, "learn", A, dtype) if late else chosen("learn", A, dtype)
    shared = tuple(jnp.asarray(number, values[0].dtype) for number in shared)
    if late:
        first, spikes = spikes.first, spikes._replace(first=None)
    return _learn(run, rule, axis, first, A, values, spikes, own, other, shared, places, past, readers)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def _learn(run, rule, axis, first, A, values, spikes, own, other, shared, places, past, readers):
    spikes = spikes if first is None else spikes._replace(first=first)
    return run(rule, A, values, spikes, own, other, shared, axis=axis, places=places, past=past, readers=readers)


@_learn.defjvp
def _learn_jvp(run, rule, axis, first, primals, tangents):
    A, values, spikes, own, other, shared, places, past, _ = primals
    spikes = spikes if first is None else spikes._replace(first=first)
    d_values = tangents[1], *tangents[3:6]

    def plain(values, own, other, shared):
        return learned(rule, A, values, spikes, own, other, shared, axis, places, past)

    return _learn(run, rule, axis, first, *primals), jax.jvp(plain, (values, own, other, shared), d_values)[1]


def learned(rule: Callable, A, values: tuple, spikes, own: tuple, other: tuple, shared: tuple, axis: int, places, past):
    """The same for all synapses at once, with the derivatives of it."""
    of, ends = A.lines(), A.indices.reshape(-1)
    places = slice(None) if places is None else places
    before = tuple(value[places] for value in values)
    if isinstance(spikes, Arrivals):
        fired = arrived(A, spikes)
        own = _sent(own, spikes.delays.steps, spikes.place - 1, of)
    else:
        fired, own = spikes[of], tuple(trace[of] for trace in own)
    other = tuple(trace[ends] for trace in other) if past is None else _sent(other, past.steps, past.place, ends)
    after = jax.vmap(rule, in_axes=(0, 0, 0, None))(before, own, other, shared)
    return tuple(v.at[places].set(jnp.where(fired, new, old)) for v, new, old in zip(values, after, before))


def _sent(rings: tuple, steps, place, ids):
    """The traces of neurons as they were when what acts now was sent."""
    return tuple(ring[(place - steps.astype(jnp.int32)) & (ring.shape[0] - 1), ids] for ring in rings)


def scalar_program(rule: Callable, dtype, *counts: int):
    """The jaxpr of a rule on numbers of one dtype, of so many values, traces of either end, and numbers that all share."""
    number = jax.ShapeDtypeStruct((), dtype)
    return jax.make_jaxpr(rule)(*((number,) * count for count in counts))
