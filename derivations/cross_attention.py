# %% [markdown]
# # Cross-attention (Eq. 23)
#
# Queries come from the sequence $S$ of length $L$, keys and values from a context $C$ of length
# $M$:
#
# $$f_{jc} = \frac{\sum_{k=1}^{M} E_{jk} V_{kc}}{\sum_{k=1}^{M} E_{jk}}, \qquad
#   K_{ki} = \sum_a C_{ka} W^K_{ai}, \qquad V_{kc} = \sum_a C_{ka} W^V_{ac}.$$
#
# Where a token stands in a gradient, one can now read off which role it plays: the query gradient
# has $S_{ja}$ in front, the key and value gradients mix $C_{ka}$.

# %%
from sympy import KroneckerDelta

from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    C,
    S,
    a,
    b,
    c,
    derivative,
    i,
    j,
    key,
    output,
    over_keys,
    query,
    report,
    scale,
    softmax,
    value,
)

f = output(j, c, keys="C")


def expected(summand):
    """The mean of summand(k) over the context, under row j of the attention."""
    return over_keys(j, lambda k: softmax(j, k, keys="C") * summand(k), keys="C")


# %% [markdown]
# $$\frac{\partial f_{jc}}{\partial W^V_{ab}} = \delta_{cb} \sum_k A_{jk} C_{ka}$$

# %%
by_value = KroneckerDelta(c, b) * expected(lambda k: C[k, a])

# %% [markdown]
# $$\frac{\partial f_{jc}}{\partial W^Q_{ai}}
#   = d_k^{-1/2} S_{ja} \sum_k A_{jk} K_{ki} (V_{kc} - f_{jc})$$

# %%
by_query = scale() * S[j, a] * expected(lambda k: key(k, i, keys="C") * (value(k, c, keys="C") - f))

# %% [markdown]
# $$\frac{\partial f_{jc}}{\partial W^K_{ai}}
#   = d_k^{-1/2} Q_{ji} \sum_k A_{jk} (V_{kc} - f_{jc}) C_{ka}$$

# %%
by_key = scale() * query(j, i) * expected(lambda k: (value(k, c, keys="C") - f) * C[k, a])

# %%
IDENTITIES = [
    ("(23) cross-attention: value", derivative(f, W_V[a, b]), by_value),
    ("(23) cross-attention: query", derivative(f, W_Q[a, i]), by_query),
    ("(23) cross-attention: key", derivative(f, W_K[a, i]), by_key),
]

if __name__ == "__main__":
    report(IDENTITIES)
