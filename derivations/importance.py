# %% [markdown]
# # What the number in front of the features is
#
# Eq. 11 multiplies the features of token $j$ by
#
# $$\omega_{jci} =
#   \frac{\big(\sum_k E_{jk} K_{ki} V_{kc}\big)\big(\sum_k E_{jk}\big)
#       - \big(\sum_k E_{jk} V_{kc}\big)\big(\sum_k E_{jk} K_{ki}\big)}
#      {\big(\sum_k E_{jk}\big)^2}.$$
#
# The paper reads it as the importance that the attention assigns to the token. These identities say
# what it is: a covariance. It can be negative, it is zero where keys or values do not vary, and it
# does not vanish when the attention is uniform.

# %%
from sympy import Integer

from ntteach.symbols import (
    W_Q,
    L,
    S,
    a,
    c,
    derivative,
    i,
    j,
    kappa,
    key,
    normaliser,
    output,
    over_keys,
    replace_entries,
    report,
    scale,
    softmax,
    t,
    total,
    value,
    weight,
)


def K(k):
    return key(k, i)


def V(k):
    return value(k, c)


def quotient(K, V):
    """omega for key and value columns K(k), V(k), as Eq. 11 has it."""

    def weighted(summand):
        return over_keys(j, lambda k: weight(j, k) * summand(k))

    Z = normaliser(j)
    return (weighted(lambda k: K(k) * V(k)) * Z - weighted(V) * weighted(K)) / Z**2


def mean(summand):
    """The expectation of summand(k) under row j of the attention: Sum_k A_jk summand(k)."""
    return over_keys(j, lambda k: softmax(j, k) * summand(k))


# %% [markdown]
# ## A covariance
#
# In two ways, both with $k$ drawn from row $j$ of the attention, $A_{jk} = E_{jk}/Z_j$:
#
# $$\omega_{jci} = \mathbb E[K_{ki} (V_{kc} - f_{jc})]
#   = \mathbb E[K_{ki} V_{kc}] - \mathbb E[K_{ki}]\, \mathbb E[V_{kc}],
#   \qquad f_{jc} = \mathbb E[V_{kc}].$$

# %%
f = output(j, c)
centred = mean(lambda k: K(k) * (V(k) - f))
COVARIANCE = [
    ("(11) quotient = centred covariance", quotient(K, V), centred),
    (
        "(11) quotient = E[KV] - E[K] E[V]",
        quotient(K, V),
        mean(lambda k: K(k) * V(k)) - mean(K) * f,
    ),
]

# %% [markdown]
# ## What it does not see
#
# Deviations from a mean average to zero: $\sum_k A_{jk} V_{kc} = \sum_k A_{jk} f_{jc}$. Hence a
# key column that is one constant $\kappa$ for all tokens gives $\omega = 0$, as
# $\mathbb E[\kappa V_{kc}] = \mathbb E[\kappa]\, \mathbb E[V_{kc}]$; and adding a constant $t$ to
# all values, or to all keys of a column, changes nothing. (The attention $A_{jk}$ is held fixed
# here.)

# %%
NOT_SEEN = [
    ("deviations from the mean average to zero", mean(V), mean(lambda k: f)),
    (
        "a constant key column: E[KV] = E[K] E[V]",
        mean(lambda k: kappa * V(k)),
        mean(lambda k: kappa) * f,
    ),
    ("adding a constant to the values", quotient(K, lambda k: V(k) + t), quotient(K, V)),
    ("adding a constant to a key column", quotient(lambda k: K(k) + t, V), quotient(K, V)),
]

# %% [markdown]
# ## Uniform attention
#
# With $W^Q = 0$ all logits are zero and the attention prefers no token. The gradient does not
# vanish: it has the plain covariance of keys and values over the sequence,
#
# $$\frac{\partial f_{jc}}{\partial W^Q_{ai}}\Big|_{W^Q = 0} = d_k^{-1/2} S_{ja} \bigg(
#   \frac1L \sum_k K_{ki} V_{kc} - \Big(\frac1L \sum_k K_{ki}\Big)\Big(\frac1L \sum_k V_{kc}\Big)
#   \bigg).$$

# %%
at_zero = replace_entries(derivative(f, W_Q[a, i]), W_Q, lambda row, column: Integer(0))
plain = total(L, lambda k: K(k) * V(k)) / L - total(L, K) / L * total(L, V) / L

UNIFORM = [("W_Q = 0: the plain covariance", at_zero, scale() * S[j, a] * plain)]

# %%
IDENTITIES = COVARIANCE + NOT_SEEN + UNIFORM

if __name__ == "__main__":
    report(IDENTITIES)
