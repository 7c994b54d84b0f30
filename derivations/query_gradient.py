# %% [markdown]
# # The gradient by the query matrix (Eq. 11)
#
# Row $j$ of the queries $Q = S W^Q$ is the only place where $W^Q$ enters row $j$ of the output, and
# $\partial Q_{jx} / \partial W^Q_{ai} = \delta_{xi} S_{ja}$. Hence every row of the
# gradient is the token's own features, times one number:
#
# $$\frac{\partial f_{jc}}{\partial W^Q_{ai}} = d_k^{-1/2}\, S_{ja}\, \omega_{jci}.$$
#
# The number $\omega_{jci}$ is what the paper calls an importance. It depends on the row $j$, but
# also on the column $i$ of the weight and on the column $c$ of the output.

# %%
from ntteach.symbols import (
    W_Q,
    S,
    a,
    c,
    derivative,
    i,
    j,
    key,
    normaliser,
    output,
    over_keys,
    report,
    scale,
    softmax,
    value,
    weight,
)

# %% [markdown]
# ## As a quotient
#
# With $E_{jk} = \exp(d_k^{-1/2} \sum_i Q_{ji} K_{ki})$, in the paper's letters and for one column
# of values:
#
# $$\omega_{jci} =
#   \frac{\big(\sum_k E_{jk} K_{ki} V_{kc}\big)\big(\sum_k E_{jk}\big)
#       - \big(\sum_k E_{jk} V_{kc}\big)\big(\sum_k E_{jk} K_{ki}\big)}
#      {\big(\sum_k E_{jk}\big)^2}.$$


# %%
def weighted(summand):
    """Sum_k E_jk summand(k)."""
    return over_keys(j, lambda k: weight(j, k) * summand(k))


def quotient(c):
    both = weighted(lambda k: key(k, i) * value(k, c)) * normaliser(j)
    apart = weighted(lambda k: value(k, c)) * weighted(lambda k: key(k, i))
    return (both - apart) / normaliser(j) ** 2


# %% [markdown]
# ## As a covariance
#
# Dividing by $Z_j = \sum_k E_{jk}$ turns weights into the probabilities $A_{jk} = E_{jk}/Z_j$. What
# is left is the covariance of key column $i$ and value column $c$ under row $j$ of the attention:
#
# $$\omega_{jci} = \sum_k A_{jk} K_{ki} (V_{kc} - f_{jc}).$$


# %%
def covariance(c):
    return over_keys(j, lambda k: softmax(j, k) * key(k, i) * (value(k, c) - output(j, c)))


# %% [markdown]
# The paper writes Eq. 11 for one output, $v = 1$; nothing changes for any other column.

# %%
one_output = derivative(output(j, 1), W_Q[a, i])
any_output = derivative(output(j, c), W_Q[a, i])
own_features = scale() * S[j, a]

IDENTITIES = [
    ("(11) quotient form, v = 1", one_output, own_features * quotient(1)),
    ("(11) covariance form, v = 1", one_output, own_features * covariance(1)),
    ("(11) quotient form, any v", any_output, own_features * quotient(c)),
    ("(11) covariance form, any v", any_output, own_features * covariance(c)),
]

if __name__ == "__main__":
    report(IDENTITIES)
