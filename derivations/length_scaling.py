# %% [markdown]
# # The length of the sequence
#
# The gradients of Eq. 2 have the shape of the weights, whatever the length $L$. Their *values* do
# depend on the tokens and on how many there are. One way to lengthen a sequence changes nothing: to
# repeat all of it $r$ times. We show that for symbolic $r$ and $L$, without a mask. (A causal mask
# breaks it: the first copy cannot see the second.)
#
# ## The long sequence
#
# Its tokens bear two indices, copy $n = 1..r$ and place $k = 1..L$. Eq. 2 is written out for tokens
# $T_{nka}$, with every sum over tokens a sum over both indices; only then are the copies made
# equal, $T_{nka} = S_{ka}$. The same for a long context, $D_{nka} = C_{ka}$.

# %%
from sympy import IndexedBase, exp

from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    C,
    G,
    L,
    M,
    S,
    a,
    b,
    c,
    d,
    d_k,
    derivative,
    i,
    j,
    m,
    n,
    output,
    r,
    replace_entries,
    report,
    scale,
    total,
    v,
)

T, D = IndexedBase("T"), IndexedBase("D")


def long_output(n, j, c, queries, keys, size, mask=False):
    """Row (n, j) of Eq. 2 for tokens `queries` that attend to r copies of `size` tokens `keys`.

    With `mask` the pair (j, k) has the weight m_jk in every pair of copies.
    """

    def product(tokens, copy, place, W, column):
        return total(d, lambda x: tokens[copy, place, x] * W[x, column])

    def weight(copy, k):
        def addend(x):
            return product(queries, n, j, W_Q, x) * product(keys, copy, k, W_K, x)

        E = exp(scale() * total(d_k, addend))
        return m[j, k] * E if mask else E

    def over_tokens(summand):
        return total(r, lambda copy: total(size, lambda k: summand(copy, k)))

    above = over_tokens(lambda copy, k: weight(copy, k) * product(keys, copy, k, W_V, c))
    return above / over_tokens(weight)


def copies_equal(expr):
    expr = replace_entries(expr, T, lambda copy, k, x: S[k, x])
    return replace_entries(expr, D, lambda copy, k, x: C[k, x])


# %% [markdown]
# ## Every row
#
# All sums over tokens, above and below the fraction bar, are $r$ times what they were, and $r$
# cancels. So every copy of row $j$ has the output and the gradients that row $j$ had.

# %%
WEIGHTS = (("value", W_V[a, b]), ("query", W_Q[a, i]), ("key", W_K[a, i]))


def rows(name, long, short):
    return [
        (f"{name}: output", copies_equal(long), short),
        *(
            (f"{name}: {role}", copies_equal(derivative(long, entry)), derivative(short, entry))
            for role, entry in WEIGHTS
        ),
    ]


# %% [markdown]
# ## Masks
#
# A mask does no harm if it repeats as well, $m_{(n,j),(n',k)} = m_{jk}$. The causal mask of the
# longer sequence is another one: it lets the second copy see all of the first.

# %% [markdown]
# ## The averaged gradient
#
# Let $G_{jc}$ be the derivative of the loss by the output of row $j$. Equal outputs with equal
# targets have equal $G$, so the gradient that Eq. 6 averages over the elements of a sequence stays:
#
# $$\frac{1}{rL} \sum_{n=1}^{r} \sum_{j=1}^{L} \sum_{c} G_{jc}
#     \frac{\partial f^{\text{long}}_{njc}}{\partial W}
#   = \frac1L \sum_{j=1}^{L} \sum_{c} G_{jc} \frac{\partial f_{jc}}{\partial W}.$$


# %%
def averaged_long(entry):
    def addend(copy, j, c):
        return G[j, c] * copies_equal(derivative(long_output(copy, j, c, T, T, L), entry))

    return total(r, lambda n: total(L, lambda j: total(v, lambda c: addend(n, j, c)))) / (r * L)


def averaged(entry):
    return total(L, lambda j: total(v, lambda c: G[j, c] * derivative(output(j, c), entry))) / L


# %%
cross = output(j, c, keys="C")
one_copy = IndexedBase("S1")  # a sequence that is not repeated, in the two-index notation
context_only = replace_entries(
    long_output(n, j, c, one_copy, D, M), one_copy, lambda copy, k, x: S[k, x]
)

IDENTITIES = [
    *rows("sequence repeated", long_output(n, j, c, T, T, L), output(j, c)),
    *((f"averaged gradient: {role}", averaged_long(x), averaged(x)) for role, x in WEIGHTS),
    *rows(
        "sequence and mask repeated",
        long_output(n, j, c, T, T, L, mask=True),
        output(j, c, mask=True),
    ),
    *rows("context repeated", context_only, cross),
    *rows("sequence and context repeated", long_output(n, j, c, T, D, M), cross),
]

if __name__ == "__main__":
    report(IDENTITIES)
