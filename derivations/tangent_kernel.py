# %% [markdown]
# # The attention neural tangent kernel
#
# Two outputs of one learner, $f_{jc}$ of a sequence $S$ and $f'_{j'c'}$ of another sequence $S'$
# of any length, move together as far as they share parameters. By definition (Eq. 15) the kernel
# is a sum over all of these,
#
# $$K\big[(S, j, c), (S', j', c')\big]
#   = \sum_{p} \frac{\partial f_{jc}}{\partial \theta_p}
#              \frac{\partial f'_{j'c'}}{\partial \theta_p},$$
#
# one block for each of $W^V$, $W^Q$, $W^K$ (and $W^O$). A prime, here and in the code a 2, marks
# what belongs to the second sequence. The left sides below are this sum, taken over the
# derivatives of Eq. 2 and of nothing else.

# %%
from sympy import Add, Integer, KroneckerDelta

from ntteach.symbols import (
    W_K,
    W_O,
    W_Q,
    W_V,
    C,
    H,
    S,
    c,
    c2,
    d,
    d_h,
    d_k,
    e,
    e2,
    exchanged,
    h,
    h2,
    j,
    kernel_block,
    key,
    output,
    over_keys,
    query,
    report,
    second,
    softmax,
    total,
    v_h,
    value,
)

# %% [markdown]
# ## What is kept of each sequence
#
# Each gradient is a product of a vector that belongs to the row $j$ and one that depends on the
# output column as well. With the attention $A_{jk}$ and the tokens $C$ that are attended to ($S$
# itself, or a context), they are the mean of the tokens $(AC)_j$, the row's own token $S_j$ and
# query $Q_j$, and two covariances, of the values with the keys and with the tokens:
#
# $$g_{jci} = \sum_k A_{jk} (V_{kc} - f_{jc}) K_{ki}, \qquad
#   h_{jca} = \sum_k A_{jk} (V_{kc} - f_{jc}) C_{ka}.$$


# %%
def expected(summand, keys="S", head=None, **mask):
    """The mean of summand(k) under row j of the attention."""
    return over_keys(
        j, lambda k: softmax(j, k, keys=keys, head=head, **mask) * summand(k), keys=keys
    )


def mean_token(a, keys="S", head=None, **mask):
    tokens = S if keys == "S" else C
    return expected(lambda k: tokens[k, a], keys, head, **mask)


def with_keys(i, c, keys="S", head=None, **mask):
    """g_jci."""

    def summand(k):
        centred = value(k, c, keys=keys, head=head) - output(j, c, keys=keys, head=head, **mask)
        return centred * key(k, i, keys=keys, head=head)

    return expected(summand, keys, head, **mask)


def with_tokens(a, c, keys="S", head=None, **mask):
    """h_jca."""
    tokens = S if keys == "S" else C

    def summand(k):
        centred = value(k, c, keys=keys, head=head) - output(j, c, keys=keys, head=head, **mask)
        return centred * tokens[k, a]

    return expected(summand, keys, head, **mask)


def inner(size, vector):
    """<vector, vector'>: the same vector of both sequences."""
    return total(size, lambda x: vector(x) * second(vector(x)))


# %% [markdown]
# ## One head
#
# $$K = \delta_{cc'} \langle (AC)_j, (A'C')_{j'} \rangle
#     + d_k^{-1} \langle S_j, S'_{j'} \rangle \langle g_{jc}, g'_{j'c'} \rangle
#     + d_k^{-1} \langle Q_j, Q'_{j'} \rangle \langle h_{jc}, h'_{j'c'} \rangle,$$
#
# where the three terms are the value, the query and the key block. A mask with weights $m_{jk}$ and
# $m'_{j'k'}$ (of a causal one they are 1 and 0) changes the attention and nothing else; a context
# stands where the tokens are attended to, while the row's own token stays. Several heads side by
# side have $d_h$ in the place of $d_k$, and outputs of different heads share no parameter.


# %%
def closed_form(head=None, **form):
    """The three blocks, by the parameter."""
    width = d_k if head is None else d_h
    own = Integer(1) if head is None else KroneckerDelta(h, h2)
    tokens = inner(d, lambda a: S[j, a])
    queries = inner(width, lambda i: query(j, i, head=head))
    return {
        W_V: own * KroneckerDelta(c, c2) * inner(d, lambda a: mean_token(a, head=head, **form)),
        W_Q: own / width * tokens * inner(width, lambda i: with_keys(i, c, head=head, **form)),
        W_K: own / width * queries * inner(d, lambda a: with_tokens(a, c, head=head, **form)),
    }


BLOCKS = {W_V: "value", W_Q: "query", W_K: "key"}


def blocks(name, head=None, **form):
    """For each block: the sum over its entries of products of derivatives, and the closed form."""
    f = output(j, c, head=head, **form)
    return [
        (
            f"{name}: {BLOCKS[W]}",
            kernel_block(f, W, indices=2 if head is None else 3),
            block,
        )
        for W, block in closed_form(head, **form).items()
    ]


# %% [markdown]
# ## Heads mixed by $W^O$
#
# $$F_{je} = \sum_h \sum_c f_{hjc} W^O_{hce}.$$
#
# Column $e$ of the output hears from every head. By $W^O$ itself the derivative is the heads'
# output. In the other blocks what was a column $c$ is summed with its weight in $W^O$, each
# sequence's vectors separately, and the heads add up:
#
# $$\tilde g_{hjei} = \sum_c W^O_{hce}\, g_{hjci}, \qquad
#   \tilde h_{hjea} = \sum_c W^O_{hce}\, h_{hjca},$$
#
# $$K = \delta_{ee'} \langle f_j, f'_{j'} \rangle
#     + \sum_h \langle (A_h C)_j, (A'_h C')_{j'} \rangle \sum_c W^O_{hce} W^O_{hce'}
#     + d_h^{-1} \langle S_j, S'_{j'} \rangle \sum_h
#                       \langle \tilde g_{hje}, \tilde g'_{hj'e'} \rangle
#     + d_h^{-1} \sum_h \langle Q_{hj}, Q'_{hj'} \rangle
#                       \langle \tilde h_{hje}, \tilde h'_{hj'e'} \rangle.$$

# %%
F = total(H, lambda h: total(v_h, lambda c: output(j, c, head=h) * W_O[h, c, e]))


def through(vector):
    """Sum_c W_O[h,c,e] vector(c)."""
    return lambda x, head: total(v_h, lambda c: W_O[head, c, e] * vector(x, c, head=head))


def over_heads(size, vector):
    """Sum_h <vector_h, vector'_h>."""
    return total(H, lambda h: inner(size, lambda x: vector(x, h)))


shared_columns = total(
    H,
    lambda h: (
        inner(d, lambda a: mean_token(a, head=h))
        * total(v_h, lambda c: W_O[h, c, e] * W_O[h, c, e2])
    ),
)
queries_and_tokens = total(
    H,
    lambda h: (
        inner(d_h, lambda i: query(j, i, head=h)) * inner(d, lambda a: through(with_tokens)(a, h))
    ),
)

MIXED = [
    (
        "heads mixed: output",
        kernel_block(F, W_O, indices=3),
        KroneckerDelta(e, e2) * over_heads(v_h, lambda c, h: output(j, c, head=h)),
    ),
    ("heads mixed: value", kernel_block(F, W_V, indices=3), shared_columns),
    (
        "heads mixed: query",
        kernel_block(F, W_Q, indices=3),
        inner(d, lambda a: S[j, a]) * over_heads(d_h, through(with_keys)) / d_h,
    ),
    ("heads mixed: key", kernel_block(F, W_K, indices=3), queries_and_tokens / d_h),
]

# %% [markdown]
# ## A kernel whose values are matrices
#
# For $v > 1$ the kernel of two rows is a $v \times v$ matrix. Exchanging the sequences transposes
# it: $K[(S,j,c),(S',j',c')] = K[(S',j',c'),(S,j,c)]$. Of the definition this is plain, since
# products commute; of the closed form it says that no factor is taken from the wrong sequence.

# %%
SELF = blocks("one head")
MASKED = blocks("any mask", mask=True)
CROSS = blocks("cross-attention", keys="C")
HEADS = blocks("heads side by side", head=h)

WHOLE = Add(*(block for _, block, _ in SELF)), Add(*(block for _, _, block in SELF))

# %%
IDENTITIES = [
    *SELF,
    ("one head: all parameters, exchanged", exchanged(WHOLE[0]), WHOLE[1]),
    *MASKED,
    *CROSS,
    *HEADS,
    *MIXED,
]

if __name__ == "__main__":
    report(IDENTITIES)
