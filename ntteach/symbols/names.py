"""The vocabulary of the symbolic layer: sizes, indices, weights and what is known of their ranges.

Names are fixed, because other code puts numbers in by name. Indices count from 1.
"""

from typing import Any

from sympy import Expr, Function, IndexedBase, Integer, Symbol, symbols

# Sizes: sequence length, context length, input width, key width, output width, width after W_O,
# heads, key width and value columns of one head, copies of a repeated sequence, sequences.
L, M, d, d_k, v, o, H, d_h, v_h, r, N = symbols(
    "L M d d_k v o H d_h v_h r N", integer=True, positive=True
)

# Free indices: row of the output, one key, column of the output; row and column of a weight entry
# (b for W_V); head of the output and of the weight; column after W_O and of an entry of W_O; copy.
j, k, c, a, i, b, h, g, e, p, n = symbols("j k c a i b h g e p n", integer=True, positive=True)

# A second sequence beside the first: its length and context length, and the row, column, head and
# column after W_O of its output.
L2, M2 = symbols("L2 M2", integer=True, positive=True)
j2, c2, h2, e2 = symbols("j2 c2 h2 e2", integer=True, positive=True)

# Scalars: a shift or a time, a constant, the two weights of the linear recurrence, a learning rate.
t, kappa, u, w, eta = symbols("t kappa u w eta", real=True)

# Of losses and kernels: smoothness, strong convexity, bounds on eigenvalues, bound on entries.
tau, mu, lam, Lam, gamma = symbols("tau mu lam Lam gamma", real=True)


def _base(name: str) -> Any:
    return IndexedBase(name)  # Any: by sympy's annotations an entry might be a Tuple


S, C = _base("S"), _base("C")
W_Q, W_K, W_V, W_O = _base("W_Q"), _base("W_K"), _base("W_V"), _base("W_O")
m, B = _base("m"), _base("B")  # mask weights (1 takes part, 0 does not); added mask
G, s = _base("G"), _base("s")  # derivative of the loss by the output; scalar inputs
X = _base("X")  # a change of basis of queries and keys
R = _base("R")  # derivative of the loss by W_Q W_K^T / sqrt(d_k)
# Choosing among r outputs: their residuals, two choices (1 is chosen), a function in coordinates, a
# factor of what the kernel is beside a multiple of the identity, what G is at another point.
rho, chi, psi, z, U, G2 = (_base(name) for name in ("rho", "chi", "psi", "z", "U", "G2"))
S2, C2, m2 = _base("S2"), _base("C2"), _base("m2")  # the second sequence
D_Q, D_K, D_V = _base("D_Q"), _base("D_K"), _base("D_V")  # a direction in parameter space
F, Y = _base("F"), _base("Y")  # outputs of one element, or its logits, and their target
D, q = _base("D"), _base("q")  # a direction of outputs; their weights
Phi, Psi = _base("Phi"), _base("Psi")  # features of sequences (and outputs) for two kernels
alpha, beta = _base("alpha"), _base("beta")  # coefficients of two functions of a kernel
T, Z = _base("T"), _base("Z")  # targets and weights of sequences
nu, xi = _base("nu"), _base("xi")  # eigenvalues of a kernel; curvatures of the loss at outputs
sigma = Function("sigma", integer=True, positive=True)  # a bijection of 1..L

# Every free index lies in each of the ranges 1..n listed for it. A Kronecker delta with a
# summation index is only contracted on the strength of this table.
INDEX_RANGES: dict[Symbol, frozenset[Expr]] = {
    j: frozenset({L}),
    k: frozenset({L, M}),
    c: frozenset({v, v_h}),
    b: frozenset({v, v_h}),
    a: frozenset({d}),
    i: frozenset({d_k, d_h}),
    h: frozenset({H}),
    g: frozenset({H}),
    e: frozenset({o}),
    p: frozenset({o}),
    n: frozenset({r}),
    j2: frozenset({L2}),
    c2: frozenset({v, v_h}),
    h2: frozenset({H}),
    e2: frozenset({o}),
}

# Shape of each indexed base, by name and number of indices; None is a length that depends on use
# (a mask is L x L over the sequence itself and L x M over a context).
SHAPES: dict[tuple[str, int], tuple[Expr | None, ...]] = {
    ("S", 2): (L, d),
    ("C", 2): (M, d),
    ("S2", 2): (L2, d),
    ("C2", 2): (M2, d),
    ("S2", 3): (N, L2, d),
    ("W_Q", 2): (d, d_k),
    ("W_K", 2): (d, d_k),
    ("W_V", 2): (d, v),
    ("W_O", 2): (v, o),
    ("W_Q", 3): (H, d, d_h),
    ("W_K", 3): (H, d, d_h),
    ("W_V", 3): (H, d, v_h),
    ("W_O", 3): (H, v_h, o),
    ("D_Q", 2): (d, d_k),
    ("D_K", 2): (d, d_k),
    ("D_V", 2): (d, v),
    ("m", 2): (L, None),
    ("m2", 2): (L2, None),
    ("B", 2): (L, None),
    ("G", 2): (L, v),
    ("X", 2): (d_k, d_k),
    ("R", 2): (d, d),
    ("X", 3): (H, d_h, d_h),
    ("G", 3): (N, L2, v),
    ("Phi", 2): (r, M),
    ("Phi", 3): (r, v, M),
    ("Psi", 2): (r, L2),
    **{(name, 1): (r,) for name in ("alpha", "beta", "T", "Z")},
    **{(name, 2): (r, v) for name in ("alpha", "beta", "T")},
    ("s", 1): (L + Integer(1),),
    ("F", 1): (v,),
    ("Y", 1): (v,),
    ("D", 1): (v,),
    ("q", 1): (v,),
    ("sigma", 1): (L,),
    **{(name, 1): (r,) for name in ("rho", "chi", "psi", "G", "G2")},
    ("z", 1): (M,),
    ("U", 2): (r, M),
    ("nu", 1): (M,),
    ("xi", 1): (r,),
    ("G2", 3): (N, L2, v),
}
