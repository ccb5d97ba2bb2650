"""Bar 5: every stored format at activities from 0.01 % to 100 %, both directions, against scipy and jax.experimental.sparse."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.experimental import sparse as jax_sparse

import brainevent as be

from .common import Row, alternating

N, K = 10_000, 100  # 1e6 synapses
ACTIVITIES = (1e-4, 1e-2, 0.1, 0.5, 1.0)


def matrices() -> dict:
    """The same kind of matrix in every format, with scipy's nearest format beside it (None: a dense product of numpy)."""
    rng = np.random.default_rng(0)
    indices = np.sort(rng.integers(0, N, (N, K)), axis=1).astype(np.int32)
    data = rng.normal(size=(N, K)).astype(np.float32)
    csr = scipy.sparse.csr_array((data.reshape(-1), indices.reshape(-1), np.arange(0, N * K + 1, K, dtype=np.int32)), shape=(N, N))
    ours = be.CSR.fromscipy(csr)
    post, pre = be.FixedPostNumConn(data, indices, shape=(N, N)), be.FixedPreNumConn(data, indices, shape=(N, N))
    dense = rng.normal(size=(1000, 1000)).astype(np.float32)
    return {
        "CSR": (ours, csr),
        "CSC": (ours.regrouped(), csr.tocsc()),
        "COO": (ours.tocoo(), csr.tocoo()),
        "FixedPostNumConn": (post, csr),
        "FixedPreNumConn": (pre, csr.T),
        "Dense": (be.Dense(dense), dense),
    }


def measure(rounds: int) -> list[Row]:
    """Microseconds a product, eagerly called and waited for; the peer quoted is the faster one."""
    rows = []
    for name, (A, peer) in matrices().items():
        bcoo = jax_sparse.BCOO.from_scipy_sparse(peer.tocoo()) if name != "Dense" else jnp.asarray(peer)
        for forward in (True, False):
            product = jax.jit(lambda A, x, forward=forward: be.EventArray(x) @ A if forward else A @ be.EventArray(x))
            theirs = jax.jit(lambda A, x, forward=forward: x @ A if forward else A @ x)
            turned = peer.T if forward else peer
            for activity in ACTIVITIES:
                x = np.random.default_rng(1).random(A.shape[0]) < activity
                events, floats, plain = jnp.asarray(x), jnp.asarray(x, jnp.float32), x.astype(np.float32)
                calls = {
                    "ours": lambda: _done(product(A, events)),
                    "scipy" if name != "Dense" else "numpy": lambda: _done(turned @ plain),
                    "jax BCOO" if name != "Dense" else "jnp": lambda: _done(theirs(bcoo, floats)),
                }
                for call in calls.values():
                    call()
                figures = alternating(calls, 3 * rounds)
                mine = figures.pop("ours")
                best = min(figures, key=figures.__getitem__)
                what = f"{name}: {'spikes @ A' if forward else 'A @ spikes'}, {activity:.2%} active"
                rows.append(Row("5", what, mine * 1e6, "us", best, figures[best] * 1e6, at_least=1.0))
    return rows


def _done(array) -> None:
    """Wait for a result; None, so that the caller is timed."""
    jax.block_until_ready(array)
