"""Bar 5: every stored format at activities from 0.01 % to 100 %, both directions, against scipy and jax.experimental.sparse."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.experimental import sparse as jax_sparse

import brainevent as be

from .common import Row, alternating

N, K = 10_000, 100  # 1e6 synapses
REPEATS = 10
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


def calls_of(A, peer, forward: bool) -> dict:
    """Ours and the peers', as functions of bool spikes (REPEATS, n) that return a function to be timed: REPEATS products in a row.

    The compiled ones loop inside, as a simulation does; a Python loop costs scipy 1 us of its 1,000.
    """
    sparse = not isinstance(peer, np.ndarray)
    bcoo = jax_sparse.BCOO.from_scipy_sparse(peer.tocoo()) if sparse else jnp.asarray(peer)
    turned = peer.T if forward else peer

    @jax.jit
    def products(matrix, rows):
        def add(total, x):
            x = be.EventArray(x) if x.dtype == bool else x
            return total + (x @ matrix if forward else matrix @ x), None

        return jax.lax.scan(add, jnp.zeros(A.shape[1 if forward else 0], jnp.float32), rows)[0]

    def ours(spikes):
        rows = jnp.asarray(spikes)
        return lambda: _done(products(A, rows))

    def host(spikes):
        rows = spikes.astype(np.float32)
        return lambda: _done([turned @ row for row in rows])

    def jax_peer(spikes):
        rows = jnp.asarray(spikes, jnp.float32)
        return lambda: _done(products(bcoo, rows))

    return {"ours": ours, "scipy" if sparse else "numpy": host, "jax BCOO" if sparse else "jnp": jax_peer}


def measure(rounds: int) -> list[Row]:
    """Microseconds a product, one of REPEATS in a row; the peer quoted is the faster one."""
    rows = []
    for name, (A, peer) in matrices().items():
        for forward in (True, False):
            makers = calls_of(A, peer, forward)
            for activity in ACTIVITIES:
                spikes = np.random.default_rng(1).random((REPEATS, A.shape[0])) < activity
                calls = {who: make(spikes) for who, make in makers.items()}
                for call in calls.values():
                    call()
                figures = alternating(calls, 2 * rounds)
                mine = figures.pop("ours")
                best = min(figures, key=figures.__getitem__)
                what = f"{name}: {'spikes @ A' if forward else 'A @ spikes'}, {activity:.2%} active"
                rows.append(Row("5", what, mine / REPEATS * 1e6, "us", best, figures[best] / REPEATS * 1e6, at_least=1.0))
    return rows


def _done(array) -> None:
    """Wait for a result; None, so that the caller is timed."""
    jax.block_until_ready(array)
