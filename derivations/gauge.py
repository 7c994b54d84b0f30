# %% [markdown]
# # What the learner cannot see of its queries and keys
#
# Queries and keys enter Eq. 2 through their inner products only. For any square matrix $X$,
#
# $$\langle Q_j X, K_k \rangle = \langle Q_j, K_k X^\top \rangle,$$
#
# so the learner with $W^Q X$ and $W^K$ is the learner with $W^Q$ and $W^K X^\top$. For an
# invertible $X$, put $W^K X^{-\top}$ for $W^K$: the learner with $W^Q X$ and $W^K X^{-\top}$ is the
# one with $W^Q$ and $W^K$. This is the *gauge* of attention, one for each head. The form without an
# inverse says the same and is what is proved here, for every $X$.

# %%
from sympy import Rational

from ntteach.symbols import (
    D_K,
    D_Q,
    W_K,
    W_Q,
    W_V,
    S,
    X,
    a,
    b,
    c,
    d,
    d_h,
    d_k,
    derivative,
    h,
    i,
    j,
    output,
    over_entries,
    over_keys,
    replace_entries,
    report,
    second,
    softmax,
    total,
    value,
)

# %% [markdown]
# ## The output
#
# Masks are weights $m_{jk}$ throughout; all ones is no mask.


# %%
def queries_times(expr):
    """The expression at W_Q X."""
    return replace_entries(expr, W_Q, lambda a, i: total(d_k, lambda y: W_Q[a, y] * X[y, i]))


def keys_times(expr):
    """The expression at W_K X^T."""
    return replace_entries(expr, W_K, lambda a, i: total(d_k, lambda y: W_K[a, y] * X[i, y]))


f = output(j, c, mask=True)
cross = output(j, c, keys="C", mask=True)
head = output(j, c, head=h)
head_queries = replace_entries(
    head, W_Q, lambda h, a, i: total(d_h, lambda y: W_Q[h, a, y] * X[h, y, i])
)
head_keys = replace_entries(
    head, W_K, lambda h, a, i: total(d_h, lambda y: W_K[h, a, y] * X[h, i, y])
)
OUTPUT = [
    ("change of basis: output", queries_times(f), keys_times(f)),
    ("change of basis: output, cross-attention", queries_times(cross), keys_times(cross)),
    ("change of basis: output, one of several heads", head_queries, head_keys),
]

# %% [markdown]
# ## Directions that change nothing
#
# Move $W^Q$ along $D^Q$ and $W^K$ along $D^K$. The output of row $j$ moves by
#
# $$d_k^{-1/2} \sum_k A_{jk} (V_{kc} - f_{jc}) \, S_j \, B \, S_k^\top,
#   \qquad B = D^Q W^{K\top} + W^Q D^{K\top},$$
#
# and the directions enter through the $d \times d$ matrix $B$ only. So the gradients by $W^Q$ and
# $W^K$ of all outputs on all sequences span no more dimensions than the matrices $B$ do. These are
# all $B$ with $(1 - P_Q) B (1 - P_K) = 0$, where $P_Q$ and $P_K$ project on the columns of $W^Q$
# and $W^K$; with $r_Q$ and $r_K$ the ranks of the two, and $d'$ the width of the context, they have
#
# $$d d' - (d - r_Q)(d' - r_K) = d \, r_K + d' r_Q - r_Q r_K$$
#
# dimensions. For weights of full rank and $d' = d$ this is $2 d d_h - d_h^2$ if $d_h \le d$, and
# $d^2$ if not. Among the directions with $B = 0$ are $D^Q = W^Q X$, $D^K = -W^K X^\top$ for every
# $X$: those along the gauge.


# %%
def along(f, W, D):
    """The derivative of f as W moves along D."""
    return over_entries(W, lambda entry: derivative(f, entry) * D(*entry.indices))


def moved(x, y):
    """Entry x, y of B."""
    return total(d_k, lambda i: D_Q[x, i] * W_K[y, i] + W_Q[x, i] * D_K[y, i])


def bilinear(k):
    """S_j B S_k^T."""
    return total(d, lambda x: total(d, lambda y: S[j, x] * moved(x, y) * S[k, y]))


def centred(k):
    return value(k, c) - f


DIRECTIONS = [
    (
        "any direction: what the output sees of it",
        along(f, W_Q, lambda x, y: D_Q[x, y]) + along(f, W_K, lambda x, y: D_K[x, y]),
        d_k ** Rational(-1, 2)
        * over_keys(j, lambda k: softmax(j, k, mask=True) * centred(k) * bilinear(k)),
    ),
    (
        "along the gauge: one derivative undoes the other",
        along(f, W_Q, lambda x, y: total(d_k, lambda i: W_Q[x, i] * X[i, y])),
        along(f, W_K, lambda x, y: total(d_k, lambda i: W_K[x, i] * X[y, i])),
    ),
]

# %% [markdown]
# ## The kernel
#
# The gradient by $W^Q$ at $(W^Q, W^K X^\top)$ is that at $(W^Q X, W^K)$ times $X^\top$; the
# gradient by $W^K$ at $(W^Q X, W^K)$ is that at $(W^Q, W^K X^\top)$ times $X$. In the tangent
# kernel, what was a sum over columns $i$ becomes a sum over two columns with $X^\top X$, or
# $X X^\top$, between them:
#
# $$\sum_i \partial_{ai} f \, \partial_{ai} f'
#   = \sum_{y z} \tilde\partial_{ay} f \, (X^\top X)_{yz} \, \tilde\partial_{az} f'.$$
#
# If $X$ is orthogonal, both products are the identity and the kernel is the same at both points:
# put $W^K X$ for $W^K$, as $X^{-\top} = X$. For other $X$ it need not be: with $W^Q$ doubled and
# $W^K$ halved, the query part is divided by $4$ and the key part multiplied by $4$.


# %%
def query_gradient(f, x, y):
    return derivative(f, W_Q[x, y])


def key_gradient(f, x, y):
    return derivative(f, W_K[x, y])


def kernel_part(gradient, at, between=None):
    """Sum over rows and columns of the product of two gradients, `between` two columns."""
    f2 = second(f)

    def entry(f, x, y):
        return at(gradient(f, x, y))

    if between is None:
        return total(d, lambda x: total(d_k, lambda y: entry(f, x, y) * entry(f2, x, y)))
    return total(
        d,
        lambda x: total(
            d_k,
            lambda y: total(d_k, lambda z: entry(f, x, y) * between(y, z) * entry(f2, x, z)),
        ),
    )


def columns(y, z):
    """Entry y, z of X^T X."""
    return total(d_k, lambda i: X[i, y] * X[i, z])


def rows(y, z):
    """Entry y, z of X X^T."""
    return total(d_k, lambda i: X[y, i] * X[z, i])


GRADIENTS = [
    (
        "change of basis: value gradient",
        queries_times(derivative(f, W_V[a, b])),
        keys_times(derivative(f, W_V[a, b])),
    ),
    (
        "change of basis: query gradient",
        total(d_k, lambda y: queries_times(query_gradient(f, a, y)) * X[i, y]),
        keys_times(query_gradient(f, a, i)),
    ),
    (
        "change of basis: key gradient",
        queries_times(key_gradient(f, a, i)),
        total(d_k, lambda y: keys_times(key_gradient(f, a, y)) * X[y, i]),
    ),
]
KERNEL = [
    (
        "kernel: query part",
        kernel_part(query_gradient, keys_times),
        kernel_part(query_gradient, queries_times, columns),
    ),
    (
        "kernel: key part",
        kernel_part(key_gradient, queries_times),
        kernel_part(key_gradient, keys_times, rows),
    ),
]

# %%
IDENTITIES = [*OUTPUT, *DIRECTIONS, *GRADIENTS, *KERNEL]

if __name__ == "__main__":
    report(IDENTITIES)
