# %% [markdown]
# # The gradient by the key matrix (Eq. 12)
#
# The key matrix enters row $j$ of the output through *every* token $k$ that the row attends to:
# $\partial K_{kx} / \partial W^K_{ai} = \delta_{xi} S_{ka}$. So the features do not come out of the
# sum, as they do for the query matrix; what comes out is the query $Q_{ji}$:
#
# $$\frac{\partial f_{jc}}{\partial W^K_{ai}}
#   = d_k^{-1/2}\, Q_{ji} \sum_k A_{jk} (V_{kc} - f_{jc})\, S_{ka}.$$
#
# A row of this gradient is a mixture of all tokens. It is not a multiple of the row's own token.

# %%
from ntteach.symbols import (
    W_K,
    S,
    a,
    c,
    derivative,
    i,
    j,
    normaliser,
    output,
    over_keys,
    query,
    report,
    scale,
    softmax,
    value,
    weight,
)

# %% [markdown]
# ## As a quotient
#
# $$\frac{\partial f_{jc}}{\partial W^K_{ai}} = d_k^{-1/2}\, Q_{ji}
#   \frac{\big(\sum_k E_{jk} V_{kc} S_{ka}\big)\big(\sum_k E_{jk}\big)
#       - \big(\sum_k E_{jk} V_{kc}\big)\big(\sum_k E_{jk} S_{ka}\big)}
#      {\big(\sum_k E_{jk}\big)^2}$$


# %%
def weighted(summand):
    """Sum_k E_jk summand(k)."""
    return over_keys(j, lambda k: weight(j, k) * summand(k))


def quotient(c):
    both = weighted(lambda k: value(k, c) * S[k, a]) * normaliser(j)
    apart = weighted(lambda k: value(k, c)) * weighted(lambda k: S[k, a])
    return (both - apart) / normaliser(j) ** 2


# %% [markdown]
# ## As a covariance
#
# The same number, with the probabilities $A_{jk}$: the covariance of value column $c$ and input
# feature $a$ under row $j$ of the attention.


# %%
def covariance(c):
    return over_keys(j, lambda k: softmax(j, k) * (value(k, c) - output(j, c)) * S[k, a])


# %%
one_output = derivative(output(j, 1), W_K[a, i])
any_output = derivative(output(j, c), W_K[a, i])
own_query = scale() * query(j, i)

IDENTITIES = [
    ("(12) quotient form, v = 1", one_output, own_query * quotient(1)),
    ("(12) covariance form, v = 1", one_output, own_query * covariance(1)),
    ("(12) quotient form, any v", any_output, own_query * quotient(c)),
    ("(12) covariance form, any v", any_output, own_query * covariance(c)),
]

if __name__ == "__main__":
    report(IDENTITIES)
