"""What brainpy does with our plasticity functions, beside numpy: weights after pre and post spikes, eagerly and in a compiled loop."""

import brainpy as bp
import brainpy.math as bm
import jax.numpy as jnp
import numpy as np

import brainevent

N_PRE, N_POST, STEPS = 6, 4, 20
rng = np.random.default_rng(0)
pre, post = rng.random((STEPS, N_PRE)) < 0.3, rng.random((STEPS, N_POST)) < 0.3
up, down = rng.random((STEPS, N_POST), np.float32), -rng.random((STEPS, N_PRE), np.float32)


def learn(layer, weight, expected):
    """Twenty steps of both updates in a compiled loop of brainpy."""

    def step(spikes_before, spikes_after, trace_after, trace_before):
        layer.stdp_update(on_pre={"spike": spikes_before, "trace": trace_after}, w_min=-1.0, w_max=2.0)
        layer.stdp_update(on_post={"spike": spikes_after, "trace": trace_before}, w_min=-1.0, w_max=2.0)

    bm.for_loop(step, (pre, post, up, down))
    np.testing.assert_allclose(np.asarray(weight().value), expected, rtol=1e-5, atol=1e-6)


def expected(w, row, col):
    for t in range(STEPS):
        w = np.clip(w + pre[t][row] * up[t][col], -1, 2)
        w = np.clip(w + post[t][col] * down[t][row], -1, 2)
    return w


row, col = np.indices((N_PRE, N_POST))
dense = bp.dnn.Dense(N_PRE, N_POST, W_initializer=bp.init.Normal(0.0, 0.5), mode=bm.training_mode)
learn(dense, lambda: dense.W, expected(np.asarray(dense.W.value), row, col))

csr = bp.dnn.CSRLinear(bp.conn.FixedProb(0.5, pre=N_PRE, post=N_POST, seed=1), bp.init.Normal(0.0, 0.5), mode=bm.training_mode)
row = np.repeat(np.arange(N_PRE), np.diff(np.asarray(csr.indptr)))
learn(csr, lambda: csr.weight, expected(np.asarray(csr.weight.value), row, np.asarray(csr.indices)))

spikes = bm.Array(jnp.array([True, False]))  # brainpy's own arrays go in as they are
W = brainevent.update_dense_on_binary_pre(bm.Variable(jnp.zeros((2, 3))), spikes, bm.Array(jnp.ones(3)))
np.testing.assert_array_equal(W, [[1, 1, 1], [0, 0, 0]])
print("brainpy learns with ours: Dense and CSRLinear,", STEPS, "steps")
