# %% [markdown]
# # What Eq. 2 computes
#
# Row $j$ of the output is a mean of the values, with weights from a softmax:
#
# $$f_{jc} = \sum_k A_{jk} V_{kc}, \qquad A_{jk} = \frac{E_{jk}}{\sum_l E_{jl}}, \qquad
#   E_{jk} = e^{d_k^{-1/2} \sum_i Q_{ji} K_{ki}}.$$
#
# The sequence enters three times: through the queries $Q = S W^Q$, the keys $K = S W^K$ and the
# values $V = S W^V$.

# %%
from sympy import IndexedBase, Integer, exp

from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    C,
    L,
    M,
    S,
    a,
    c,
    d,
    d_k,
    derivative,
    j,
    logit,
    output,
    p,
    replace_entries,
    report,
    scale,
    softmax,
    t,
    total,
    value,
)

# %% [markdown]
# ## A mean
#
# The weights of a row sum to one, so the output stays between the smallest and the largest value.
# A constant added to all logits of a row cancels: subtracting the largest logit, which keeps
# exponentials small, changes nothing.
#
# $$\sum_k A_{jk} = 1, \qquad
#   \frac{\sum_k e^{z_{jk} + t} V_{kc}}{\sum_k e^{z_{jk} + t}} = f_{jc}.$$

# %%
f = output(j, c)


def shifted(k):
    return exp(logit(j, k) + t)


moved = total(L, lambda k: shifted(k) * value(k, c)) / total(L, shifted)

# %% [markdown]
# ## Three invocations of the input
#
# Give the queries, the keys and the values a sequence of their own, $X$, $Y$ and $Z$. Where all
# three are $S$, the function is Eq. 2, and its derivative by an entry of $S$ is the sum of the
# three derivatives:
#
# $$\frac{\partial f_{jc}}{\partial S_{pa}} =
#   \Big(\frac{\partial}{\partial X_{pa}} + \frac{\partial}{\partial Y_{pa}}
#        + \frac{\partial}{\partial Z_{pa}}\Big) f_{jc}(X, Y, Z) \Big|_{X = Y = Z = S}.$$

# %%
X, Y, Z = IndexedBase("X"), IndexedBase("Y"), IndexedBase("Z")


def product(tokens, k, W, column):
    return total(d, lambda x: tokens[k, x] * W[x, column])


def separate_weight(k):
    return exp(scale() * total(d_k, lambda x: product(X, j, W_Q, x) * product(Y, k, W_K, x)))


def separate(tokens):
    """Eq. 2 with three sequences, differentiated by one of them, at the same sequence thrice."""
    above = total(L, lambda k: separate_weight(k) * product(Z, k, W_V, c))
    three = above / total(L, separate_weight)
    if tokens is not None:
        three = derivative(three, tokens[p, a])
    for base in (X, Y, Z):
        three = replace_entries(three, base, lambda k, x: S[k, x])
    return three


# %% [markdown]
# ## Cross-attention contains self-attention
#
# With a context equal to the sequence, the cross-attention of Eq. 23 is Eq. 2.

# %%
own_context = replace_entries(output(j, c, keys="C"), C, lambda k, x: S[k, x]).subs(M, L)

# %%
IDENTITIES = [
    ("(2) weights of a row sum to one", total(L, lambda k: softmax(j, k)), Integer(1)),
    ("(2) a constant added to a row of logits", moved, f),
    ("Figure 1: one sequence given three times", separate(None), f),
    (
        "Figure 1: three invocations",
        derivative(f, S[p, a]),
        separate(X) + separate(Y) + separate(Z),
    ),
    ("(23) cross-attention with the sequence as context", own_context, f),
]

if __name__ == "__main__":
    report(IDENTITIES)
