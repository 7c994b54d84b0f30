"""One implementation of `neural_tangents` on one case, in an interpreter that has it.

Started by `neural_tangents_peer.py`, which sends lines and reads one line of JSON for each. XLA
runs in one thread, on one processor; compilation happens before any clock starts. This file imports
nothing of its neighbours, whose packages its interpreter need not have.
"""

import importlib
import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.interpreters.ad
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np

# Implementation 3 of neural_tangents 0.6.5 looks for these where newer versions of jax no longer
# have them; with them it runs.
for _name, _place in (("source_info_util", "jax._src.source_info_util"), ("config", "jax")):
    if not hasattr(jax.interpreters.ad, _name):
        _found = importlib.import_module(_place)
        setattr(jax.interpreters.ad, _name, getattr(_found, _name, _found))


def attention(params, S, heads):
    """A batch of sequences, `(N, L, d)` to `(N, L, v)`."""
    if heads == 1 and "W_O" not in params:
        # as plain as it can be: implementation 3 takes twice as long with axes for heads
        Q, K, V = (S @ params[name] for name in ("W_Q", "W_K", "W_V"))
        return jax.nn.softmax(Q @ jnp.swapaxes(K, -1, -2) / Q.shape[-1] ** 0.5, -1) @ V
    Q, K, V = (
        jnp.moveaxis((S @ params[name]).reshape(*S.shape[:2], heads, -1), 2, 1)
        for name in ("W_Q", "W_K", "W_V")
    )
    A = jax.nn.softmax(Q @ jnp.swapaxes(K, -1, -2) / Q.shape[-1] ** 0.5, -1)
    f = jnp.moveaxis(A @ V, 1, 2).reshape(*S.shape[:2], -1)
    return f @ params["W_O"] if "W_O" in params else f


def compiled(case, params, S):
    """What computes the kernel, compiled, as a list of arrays over rows of sequences."""
    kernel = nt.empirical_ntk_fn(
        lambda p, S: attention(p, S, case["heads"]),
        trace_axes=(-1,) if case["traced"] else (),
        vmap_axes=0,
        implementation=case["implementation"],
    )
    if case["rows"] == len(S):
        whole = jax.jit(lambda S, p: kernel(S, None, p)).lower(S, params).compile()
        return lambda: [jax.block_until_ready(whole(S, params))]
    # row by row: all at once would take memory for every pair of sequences
    part = jax.jit(lambda row, S, p: kernel(row, S, p)).lower(S[:1], S, params).compile()
    pieces = [S[row : row + 1] for row in range(case["rows"])]
    return lambda: [jax.block_until_ready(part(piece, S, params)) for piece in pieces]


def as_ours(pieces, case):
    """Axes in the order of `ntteach.antk`; a trace is a mean here and a sum there."""
    K = np.concatenate([np.asarray(piece) for piece in pieces])
    if case["traced"]:
        return K.transpose(0, 2, 1, 3) * case["outputs"]
    return K.transpose(0, 2, 4, 1, 3, 5)


def peak_so_far():
    """Peak resident memory in MB since it was last reset."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def main():
    """Answer what comes on standard input until it ends."""
    case = json.loads(sys.argv[1])
    with np.load(case["inputs"]) as arrays:
        inputs = {name: jnp.asarray(array) for name, array in arrays.items()}
    S = inputs.pop("S")
    run = compiled(case, inputs, S)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far (Linux)
    before = peak_so_far()
    pieces = run()
    peak = peak_so_far() - before
    np.save(case["result"], as_ours(pieces, case))
    del pieces
    versions = {"jax": jax.__version__, "neural_tangents": nt.__version__}
    print(json.dumps({"peak_mb": peak, "versions": versions}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        made = run()
        seconds = time.process_time() - start
        del made
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
