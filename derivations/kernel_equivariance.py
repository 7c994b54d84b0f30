# %% [markdown]
# # What the form of the tangent kernel alone tells
#
# The kernel between output $(j, c)$ on a sequence $S$ and output $(j', c')$ on a sequence $S'$ is
# the inner product of their gradients, over all parameters. For one head and self-attention it is
#
# $$K_{jc,j'c'}(S, S') = \delta_{cc'} \langle (AS)_j, (A'S')_{j'} \rangle
#   + \tfrac1{d_k} \langle S_j, S'_{j'} \rangle \langle g_{jc}, g'_{j'c'} \rangle
#   + \tfrac1{d_k} \langle Q_j, Q'_{j'} \rangle \langle h_{jc}, h'_{j'c'} \rangle$$
#
# with $g_{jc} = \sum_k A_{jk} (V_{kc} - f_{jc}) K_k$ and
# $h_{jc} = \sum_k A_{jk} (V_{kc} - f_{jc}) S_k$. Masks are weights $m_{jk}$ and take part in $A$;
# all ones is no mask. On the left sides below stands the inner product of derivatives of Eq. 2, on
# the right sides the closed form.

# %%
from sympy import KroneckerDelta

from ntteach.symbols import (
    L2,
    S2,
    W_K,
    W_Q,
    W_V,
    G,
    L,
    S,
    c,
    c2,
    d,
    d_k,
    derivative,
    j,
    j2,
    k,
    key,
    m,
    m2,
    output,
    over_entries,
    over_keys,
    query,
    reindex,
    replace_entries,
    report,
    second,
    sigma,
    softmax,
    total,
    v,
    value,
)

PARAMETERS = (W_V, W_Q, W_K)


def gram(f, change=lambda gradient: gradient):
    """The inner product of the gradient of f, changed, with that of the second output."""
    f2 = second(output(j, c, mask=True))
    return sum(
        over_entries(W, lambda entry: change(derivative(f, entry)) * derivative(f2, entry))
        for W in PARAMETERS
    )


def mean(j, summand):
    """Of summand(k) under row j of the attention."""
    return over_keys(j, lambda k: softmax(j, k, mask=True) * summand(k))


def of_keys(j, c, x):
    return mean(j, lambda k: (value(k, c) - output(j, c, mask=True)) * key(k, x))


def of_tokens(j, c, x):
    return mean(j, lambda k: (value(k, c) - output(j, c, mask=True)) * S[k, x])


def closed_form(row, column):
    """The kernel between this output and the second sequence's output (j2, c2)."""

    def inner(size, vector):
        return total(size, lambda x: vector(row, column, x) * second(vector(j, c, x)))

    attended = inner(d, lambda j, c, x: mean(j, lambda k: S[k, x]))
    tokens = inner(d, lambda j, c, x: S[j, x])
    queries = inner(d_k, lambda j, c, x: query(j, x))
    products = tokens * inner(d_k, of_keys) + queries * inner(d, of_tokens)
    return KroneckerDelta(column, c2) * attended + products / d_k


# %% [markdown]
# ## Symmetric
#
# Exchanging the two outputs, with their sequences and masks, changes nothing:
# $K_{jc,j'c'}(S, S') = K_{j'c',jc}(S', S)$.


# %%
def exchanged(expr):
    """Each of the two sequences, its mask and its output in the place of the other."""
    pairs = ((S, S2), (m, m2), (L, L2), (j, j2), (c, c2))
    return expr.xreplace({x: y for one, other in pairs for x, y in ((one, other), (other, one))})


f = output(j, c, mask=True)
SYMMETRIC = [("symmetric", gram(f), exchanged(closed_form(j, c)))]

# %% [markdown]
# ## Positive semi-definite
#
# Weigh the outputs of a sequence by numbers $x_{jc}$ (`G` below). The kernel, weighed and summed
# over the first sequence, is an inner product with one vector $\sum_{jc} x_{jc} \nabla f_{jc}$:
#
# $$\sum_{jc} x_{jc} K_{jc,j'c'}(S, S')
#   = \Big\langle \sum_{jc} x_{jc} \nabla f_{jc}(S), \nabla f_{j'c'}(S') \Big\rangle.$$
#
# Weighed and summed over the second as well, and over all pairs of any number of sequences, it is
# $\| \sum_n \sum_{jc} x_{njc} \nabla f_{jc}(S_n) \|^2 \ge 0$. It is zero where the weighed
# gradients cancel, and nothing forbids that they do.


# %%
def weighed(row_and_column):
    return total(L, lambda x: total(v, lambda y: G[x, y] * row_and_column(x, y)))


SEMIDEFINITE = [
    (
        "semi-definite: weighed outputs",
        gram(weighed(lambda x, y: output(x, y, mask=True))),
        weighed(closed_form),
    )
]

# %% [markdown]
# ## Order
#
# Let $\sigma$ be any bijection of the tokens of $S$, and let its mask move along,
# $m_{jk} \to m_{\sigma(j) \sigma(k)}$ (without a mask there is nothing to move). Row $j$ of the
# new kernel is row $\sigma(j)$ of the old one. By symmetry the columns follow a reordering of $S'$
# likewise: $K(PS, P'S') = P K(S, S') P'^\top$.


# %%
def permuted(expr):
    expr = replace_entries(expr, S, lambda k, x: S[sigma(k), x])
    return replace_entries(expr, m, lambda j, k: m[sigma(j), sigma(k)])


ORDER = [("permuted: rows of the kernel", gram(permuted(f), reindex), closed_form(sigma(j), c))]

# %% [markdown]
# ## Repeated tokens
#
# The index $j$ of an output stands in its gradient beside its own token $S_j$ and its row of the
# mask $m_{j\cdot}$, and nowhere else. So two places $j$ and $k$ with one token and one row of the
# mask have one gradient, and the kernel has two equal rows: it is singular. Without a mask the rows
# of the mask are all alike. With padding that nobody attends to they are alike too, and padded
# places hold one and the same token. Under a causal mask no two rows are alike.


# %%
def at_place(k, expr):
    """Token and row of the mask of place j become those of place k; sums over places stay."""
    expr = replace_entries(expr, S, lambda x, y: S[k if x == j else x, y])
    return replace_entries(expr, m, lambda x, y: m[k if x == j else x, y])


REPEATED = [
    (
        "repeated: rows of the kernel",
        gram(f, lambda expr: at_place(k, expr)),
        closed_form(k, c),
    )
]

# %%
IDENTITIES = [*SYMMETRIC, *SEMIDEFINITE, *ORDER, *REPEATED]

if __name__ == "__main__":
    report(IDENTITIES)
