"""Weights that change with spikes: what a spike at one end of a synapse adds is the trace that the neuron at the other end left.

The two halves of pair-based spike-timing-dependent plasticity with traces (Morrison, Diesmann and Gerstner, 2008, Phenomenological models
of synaptic plasticity based on spike timing, Biological Cybernetics 98, section 4.1.2); a sign or a rate goes into the trace.
"""

import contextlib
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from .arrays import as_ids, check_unit, is_concrete, numbers, real, with_unit
from .core.updates import strengthen
from .formats.compressed import Compressed, in_range
from .formats.csr import CSC, CSR
from .formats.dense import Dense

__all__ = [
    "csr2csc_on_post",
    "csr_on_pre",
    "dense_on_post",
    "dense_on_pre",
    "update_csr_on_binary_post",
    "update_csr_on_binary_pre",
    "update_dense_on_binary_post",
    "update_dense_on_binary_pre",
]


def update_dense_on_binary_pre(W, pre_spike, post_trace, w_min=None, w_max=None):
    """`W[i, j] += post_trace[j]` for every pre neuron i that spiked, and every j.

    Args:
      W: weights, floats (n_pre, n_post), with or without a unit; integers become floats.
      pre_spike: (n_pre,), bools or numbers or an `EventArray`; whatever is not zero is a spike.
      post_trace: (n_post,), in the unit of W or one of its dimension; taken in the dtype of W.
      w_min, w_max: bounds that the whole result is clipped to, scalars or arrays that broadcast to W, in a unit of its dimension; None
        for no bound. Without bounds only the rows that spiked are touched (on a CPU); with them every weight is read.

    Returns:
      The new weights, in the shape, dtype and unit of W. Works under `jit`, `vmap` and differentiation with respect to W and the trace.

    Raises:
      ValueError: shapes that do not fit, bounds that are NaN or cross.
      TypeError: what is no array of real numbers.
      UnitMismatchError: units of another dimension.

    >>> import brainevent as be, jax.numpy as jnp
    >>> W = jnp.zeros((2, 3))
    >>> print(be.update_dense_on_binary_pre(W, jnp.array([True, False]), jnp.array([0.1, 0.2, 0.9]), 0.0, 0.5))
    [[0.1 0.2 0.5]
     [0.  0.  0. ]]
    """
    A = _dense(W, "update_dense_on_binary_pre")
    return _updated(A, A.data, pre_spike, post_trace, w_min, w_max, axis=0, owner="update_dense_on_binary_pre")


def update_dense_on_binary_post(W, pre_trace, post_spike, w_min=None, w_max=None):
    """`W[i, j] += pre_trace[i]` for every post neuron j that spiked, and every i.

    Args:
      W: weights, floats (n_pre, n_post), with or without a unit; integers become floats.
      pre_trace: (n_pre,), in the unit of W or one of its dimension; taken in the dtype of W.
      post_spike: (n_post,), bools or numbers or an `EventArray`; whatever is not zero is a spike.
      w_min, w_max: bounds, as in `update_dense_on_binary_pre`.

    Returns:
      The new weights, in the shape, dtype and unit of W.

    Raises:
      ValueError: shapes that do not fit, bounds that are NaN or cross.
      TypeError: what is no array of real numbers.
      UnitMismatchError: units of another dimension.

    >>> import brainevent as be, jax.numpy as jnp
    >>> print(be.update_dense_on_binary_post(jnp.zeros((2, 3)), jnp.array([0.1, 0.2]), jnp.array([False, True, True])))
    [[0.  0.1 0.1]
     [0.  0.2 0.2]]
    """
    A = _dense(W, "update_dense_on_binary_post")
    return _updated(A, A.data, post_spike, pre_trace, w_min, w_max, axis=1, owner="update_dense_on_binary_post")


def update_csr_on_binary_pre(w, indices, indptr, pre_spike, post_trace, w_min=None, w_max=None, *, shape):
    """`w[k] += post_trace[indices[k]]` for every synapse k of the pre neurons that spiked; the synapses are grouped by pre neuron.

    Args:
      w: weights, floats (nse,), one a synapse, with or without a unit; integers become floats.
      indices: integers (nse,), the post neuron of each synapse.
      indptr: integers (n_pre + 1,): the synapses of pre neuron i are `indptr[i]` to `indptr[i + 1]`.
      pre_spike: (n_pre,), bools or numbers or an `EventArray`; whatever is not zero is a spike.
      post_trace: (n_post,), in the unit of w or one of its dimension; taken in the dtype of w.
      w_min, w_max: bounds that the whole result is clipped to, scalars or (nse,), in a unit of the dimension of w; None for no bound.
        Without bounds only the synapses of neurons that spiked are touched (on a CPU); with them every weight is read.
      shape: `(n_pre, n_post)`.

    Returns:
      The new weights, in the shape, dtype and unit of w.

    Raises:
      ValueError: shapes that do not fit, ids out of range, an indptr that is not monotone, bounds that are NaN or cross. A structure that
        is traced is checked as it is walked, as in products.
      TypeError: what is no array of real numbers.
      UnitMismatchError: units of another dimension.

    >>> import brainevent as be, jax.numpy as jnp
    >>> w, indices, indptr = jnp.zeros(3), jnp.array([0, 2, 1]), jnp.array([0, 2, 3])
    >>> print(be.update_csr_on_binary_pre(w, indices, indptr, jnp.array([True, False]), jnp.array([0.1, 0.2, 0.3]), shape=(2, 3)))
    [0.1 0.3 0. ]
    """
    owner = "update_csr_on_binary_pre"
    A = _lines(CSR, w, indices, indptr, shape, owner)
    return _updated(A, A.data, pre_spike, post_trace, w_min, w_max, axis=0, owner=owner)


def update_csr_on_binary_post(w, pre_ids, post_indptr, w_indices, pre_trace, post_spike, w_min=None, w_max=None, *, shape):
    """`w[w_indices[k]] += pre_trace[pre_ids[k]]` for every synapse k of the post neurons that spiked.

    The weights stay grouped by pre neuron, as in a `CSR`; the other three arrays list the same synapses grouped by post neuron.

    Args:
      w: weights, floats (nse,), one a synapse, with or without a unit; integers become floats.
      pre_ids: integers (nse,), the pre neuron of each synapse, grouped by post neuron.
      post_indptr: integers (n_post + 1,): the synapses of post neuron j are `post_indptr[j]` to `post_indptr[j + 1]`.
      w_indices: integers (nse,), where in w the weight of each of these synapses stands.
      pre_trace: (n_pre,), in the unit of w or one of its dimension; taken in the dtype of w.
      post_spike: (n_post,), bools or numbers or an `EventArray`; whatever is not zero is a spike.
      w_min, w_max: bounds, as in `update_csr_on_binary_pre`.
      shape: `(n_pre, n_post)`.

    Returns:
      The new weights, in the shape, dtype and unit of w.

    Raises:
      ValueError: shapes that do not fit, ids or places out of range, a post_indptr that is not monotone, bounds that are NaN or cross. A
        structure that is traced is checked as it is walked, as in products.
      TypeError: what is no array of real numbers.
      UnitMismatchError: units of another dimension.

    >>> import brainevent as be, jax.numpy as jnp
    >>> post_indptr, pre_ids, w_indices = be.coo2csr([0, 2, 1], [0, 0, 1], shape=(3, 2))  # of (post, pre) pairs
    >>> spikes, trace = jnp.array([False, True, True]), jnp.array([0.1, 0.2])
    >>> print(be.update_csr_on_binary_post(jnp.zeros(3), pre_ids, post_indptr, w_indices, trace, spikes, shape=(2, 3)))
    [0.  0.1 0.2]
    """
    owner = "update_csr_on_binary_post"
    A = _lines(CSC, w, pre_ids, post_indptr, shape, owner)
    places = as_ids(w_indices, "w_indices", owner)
    if places.shape != A.weights_shape:
        raise ValueError(f"{owner}: w_indices has shape {places.shape}, expected {A.weights_shape}, one a synapse")
    if is_concrete(places) and not in_range(np.asarray(places), A.nse):
        raise ValueError(f"{owner}: w_indices go from {places.min()} to {places.max()}, expected places in {A.nse} weights")
    return _updated(A, A.data, post_spike, pre_trace, w_min, w_max, axis=1, owner=owner, places=places)


dense_on_pre, dense_on_post = update_dense_on_binary_pre, update_dense_on_binary_post
csr_on_pre, csr2csc_on_post = update_csr_on_binary_pre, update_csr_on_binary_post


def _dense(W, owner: str) -> Dense:
    shape = real(W, f"{owner}: W").shape
    if len(shape) != 2:
        raise ValueError(f"{owner}: W has shape {shape}, expected (n_pre, n_post)")
    return Dense(W)


def _lines(cls, w, ids, indptr, shape, owner: str) -> Compressed:
    try:
        A = cls(w, ids, indptr, shape=shape)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{owner}: {error}") from None
    if A.data.shape != A.weights_shape:
        raise ValueError(f"{owner}: w has shape {A.data.shape}, expected {A.weights_shape}, one a synapse: one weight for all cannot learn")
    return A


def _updated(A, w, spikes, trace, w_min, w_max, *, axis: int, owner: str, places=None):
    """The weights, changed and clipped; `axis` is that of the neurons that spiked."""
    names = ("pre", "post")
    w, unit = u.split_mantissa_unit(w)
    spikes, own = numbers(spikes, f"{owner}: {names[axis]}_spike")
    if not own.is_unitless:
        raise TypeError(f"{owner}: {names[axis]}_spike has unit {own}, expected bools or plain numbers")
    trace = _in_unit_of(trace, unit, f"{owner}: {names[1 - axis]}_trace").astype(w.dtype)
    for array, kind, side in ((spikes, "spike", axis), (trace, "trace", 1 - axis)):
        if array.shape != (A.shape[side],):
            raise ValueError(
                f"{owner}: {names[side]}_{kind} has shape {array.shape}, expected ({A.shape[side]},), one a {names[side]} neuron"
            )
    w = strengthen(A.replace(data=None), w, jnp.asarray(spikes != 0), trace, axis=axis, places=places)
    return with_unit(_clipped(w, w_min, w_max, unit, owner), unit)


def _clipped(w, w_min, w_max, unit, owner: str):
    bounds: list[Any] = [
        None if bound is None else _in_unit_of(bound, unit, f"{owner}: {name}") for name, bound in (("w_min", w_min), ("w_max", w_max))
    ]
    for name, bound in zip(("w_min", "w_max"), bounds):
        if bound is None:
            continue
        if bound.ndim > w.ndim or any(n not in (1, size) for n, size in zip(bound.shape[::-1], w.shape[::-1])):
            raise ValueError(f"{owner}: {name} has shape {bound.shape}, expected one that broadcasts to the weights, {w.shape}")
        if is_concrete(bound) and np.isnan(np.asarray(bound)).any():
            raise ValueError(f"{owner}: {name} is NaN; None means no bound")
    low, high = bounds
    if low is not None and high is not None and is_concrete(low, high) and (np.asarray(low) > np.asarray(high)).any():
        raise ValueError(f"{owner}: w_min={w_min} is above w_max={w_max}")
    return w if low is None and high is None else jnp.clip(w, *(None if bound is None else bound.astype(w.dtype) for bound in bounds))


def _in_unit_of(value, unit: u.Unit, what: str) -> jax.Array:
    """The numbers of `value` in a unit; what is known stays known under jit, so that it can be looked at."""
    array, own = numbers(value, what)
    check_unit(own, unit, what, "the weights have")
    known = contextlib.nullcontext() if isinstance(array, jax.Array) else jax.ensure_compile_time_eval()
    with known:
        array = real(array, what)
        return array if own == unit else u.Quantity(array, unit=own).to_decimal(unit)
