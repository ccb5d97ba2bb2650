"""Arithmetic of connectivities: with scalars on the stored weights, as `brainunit.sparse` does, and with one another."""

import operator
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .arrays import as_weights, check_finite, check_unit, numbers, real, with_unit


class Arithmetic:
    """`+ - * /`, negation, `abs`, `diag_add` and `solve`, in terms of what every format has; the base of `Connectivity`."""

    data: Any
    shape: Any
    dtype: Any
    backend: Any
    weights_shape: Any
    with_data: Any
    per_synapse: Any
    coordinates: Any
    from_coordinates: Any
    stored: Any

    def map_weights(self, function):
        """The same structure with `function` applied to the weights."""
        return self.with_data(function(self.data))

    def shifted(self, value):
        """The same structure with `value` added to every weight."""
        return self.map_weights(lambda w: w + value)

    def _scaled(self, other, function):
        """`function(w, f)` of every weight w, f being one number for all, or what numpy broadcasts to its pair of neurons."""
        divides = function is operator.truediv
        factor = self._operand(other, f"the {'divisor' if divides else 'factor'} of {self!r}", divides)
        mantissa, unit = u.split_mantissa_unit(factor)
        if mantissa.size == 1 and mantissa.ndim <= 2:
            return self.map_weights(lambda w: function(w, with_unit(mantissa.reshape(()), unit)))
        if mantissa.ndim > 2 or any(n not in (1, size) for n, size in zip(mantissa.shape[::-1], self.shape[::-1])):
            raise ValueError(
                f"{self!r}: a factor of shape {mantissa.shape} does not broadcast to the matrix, shape {self.shape}; "
                "one number a synapse goes through with_data"
            )
        A = self.stored()
        pairs = A.at_synapses(mantissa.reshape((1,) * (2 - mantissa.ndim) + mantissa.shape))
        return A.with_data(u.math.reshape(function(A.per_synapse(), with_unit(pairs, unit)), A.weights_shape))

    def at_synapses(self, matrix):
        """The entry of a matrix at every synapse, flat; an axis of size 1 stands for all."""
        return matrix[tuple(ids if n > 1 else 0 for ids, n in zip(self.coordinates(), matrix.shape))]

    def _operand(self, other, what: str, divides: bool = False):
        """The other side of `* / + -`: real numbers or a unit. On the host they have to be finite, a divisor not 0: weights stay finite."""
        if isinstance(other, u.sparse.SparseMatrix):
            raise TypeError(f"{what} is {other!r}: entries of two sparse matrices are not multiplied here: use .todense() of one")
        other = 1.0 * other if isinstance(other, u.Unit) else other
        array, unit = numbers(other, what)
        if isinstance(array, np.ndarray):
            check_finite(array, what)
            if divides and not array.all():
                raise ValueError(f"{what} holds 0, and weights are finite")
        value, number = real(with_unit(array, unit), what), u.get_mantissa(other)
        if isinstance(number, (int, float)) and not isinstance(number, (bool, np.generic)):  # takes the dtype of the weights
            return with_unit(jnp.asarray(number), unit)
        return value

    def __mul__(self, other):
        return self._scaled(other, operator.mul)

    def __rmul__(self, other):
        return self._scaled(other, lambda w, c: c * w)

    def __truediv__(self, other):
        return self._scaled(other, operator.truediv)

    def __rtruediv__(self, other):
        raise TypeError(
            f"x / {self!r}: a matrix of synapses is no divisor, most of its entries are 0: invert the weights, with_data(1 / A.data)"
        )

    def __add__(self, other):
        """Another matrix of the same shape (synapses of both), or a scalar, which is added to every stored weight."""
        if isinstance(other, Arithmetic):
            return self._joined(other)
        value, unit = u.split_mantissa_unit(self._operand(other, f"what is added to {self!r}"))
        check_unit(unit, u.get_unit(self.data), f"{self!r} + x: x", "the weights have")
        if value.size != 1:
            raise ValueError(f"{self!r} + x: x has shape {value.shape}, expected one number: a sum with an array is dense, .todense() + x")
        return self.shifted(with_unit(value.reshape(()), unit))

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other if isinstance(other, Arithmetic) else -self._operand(other, f"what is taken from {self!r}"))

    def __rsub__(self, other):
        return (-self) + other

    def __neg__(self):
        return self.map_weights(operator.neg)

    def __pos__(self):
        return self

    def __abs__(self):
        return self.map_weights(abs)

    def _joined(self, other):
        """The synapses of two matrices of one shape, side by side."""
        if self.shape != other.shape:
            raise ValueError(f"{self!r} + {other!r}: shapes differ")
        check_unit(u.get_unit(other.data), u.get_unit(self.data), f"{self!r} + {other!r}: the second", "the first")
        one, two = self.stored(), other.stored()
        data = u.math.concatenate([one.per_synapse(), two.per_synapse()])
        row, col = (jnp.concatenate(ids) for ids in zip(one.coordinates(), two.coordinates()))
        return type(one).from_coordinates(data, row, col, shape=self.shape, backend=self.backend)

    def diag_add(self, value):
        """The matrix plus `value` on its diagonal: a scalar or one number a diagonal entry, in the unit of the weights."""
        n = min(self.shape)
        mantissa, unit = u.split_mantissa_unit(as_weights(value, f"{self!r}.diag_add: the diagonal"))
        if mantissa.shape not in ((), (1,), (n,)):
            raise ValueError(f"{self!r}.diag_add: the diagonal has shape {mantissa.shape}, expected a number or ({n},)")
        check_unit(unit, u.get_unit(self.data), f"{self!r}.diag_add: the diagonal", "the weights have")
        diagonal = jnp.broadcast_to(mantissa.astype(self.dtype), (n,))
        ids, A = np.arange(n), self.stored()
        return A._joined(type(A).from_coordinates(with_unit(diagonal, unit), ids, ids, shape=self.shape))

    def solve(self, b):
        """x with `A @ x = b`, for a square matrix that is not singular.

        Args:
          b: array or Quantity of shape (n_pre,).

        Returns:
          x of shape (n_post,), in the unit of b over that of the weights. Differentiable in b and in the weights.

        Raises:
          ValueError: the matrix is not square, or b does not fit. TypeError: b is not real; the structure is traced: build it outside jit.

        By `jax.experimental.sparse.linalg.spsolve`, which has a sparse QR on GPU and scipy's SuperLU on CPU.

        >>> import brainevent as be, jax.numpy as jnp
        >>> be.CSR.fromdense(jnp.array([[2., 0.], [1., 4.]])).solve(jnp.array([2., 9.]))
        Array([1., 2.], dtype=float32)
        """
        from jax.experimental.sparse.linalg import spsolve  # slow to import, and only needed here

        right, right_unit = u.split_mantissa_unit(real(b, f"{self!r}.solve(b): b"))
        if self.shape[0] != self.shape[1] or jnp.shape(right) != (self.shape[0],):
            raise ValueError(f"{self!r}.solve(b): expected a square matrix and b of shape ({self.shape[0]},), got {jnp.shape(right)}")
        weights, unit = u.split_mantissa_unit(self.per_synapse())
        if any(isinstance(ids, Tracer) for ids in self.coordinates()):
            raise TypeError(f"{self!r}.solve(b): the structure is traced: build the matrix outside jit")
        row, col = (np.asarray(ids, np.int64) for ids in self.coordinates())
        places, owner = np.unique(row * self.shape[1] + col, return_inverse=True)  # the solver takes no duplicates
        weights = jax.ops.segment_sum(weights, owner, places.size)
        indptr = np.searchsorted(places // self.shape[1], np.arange(self.shape[0] + 1)).astype(np.int32)
        indices = (places % self.shape[1]).astype(np.int32)
        x = spsolve(weights, jnp.asarray(indices), jnp.asarray(indptr), right.astype(weights.dtype))
        return u.maybe_decimal(u.Quantity(x, unit=right_unit / unit))  # pyright: ignore[reportArgumentType]
