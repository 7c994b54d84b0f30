# %% [markdown]
# # Masks (Eq. 23)
#
# A mask adds a constant to the logits before the softmax. As $\exp(x + B) = e^{B} \exp(x)$, it is
# a constant weight on each entry of $E$: $m_{jk} = e^{B_{jk}}$, which is $0$ where
# $B_{jk} = -\infty$. The weights of a causal mask are $1$ for $k \le j$ and $0$ beyond, so its
# sums end at $j$. A row that is masked throughout has no weights to divide by: there Eq. 2 says
# nothing, and neither do these identities.
#
# Constants survive differentiation. All three gradients keep their form; only the attention
# $A_{jk}$ that stands in them is the masked one.

# %%
from sympy import KroneckerDelta, exp

from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    B,
    L,
    S,
    a,
    b,
    c,
    derivative,
    i,
    j,
    key,
    logit,
    m,
    output,
    over_keys,
    query,
    replace_entries,
    report,
    scale,
    softmax,
    total,
    value,
)

# %% [markdown]
# ## An added mask is a weight
#
# On the left the mask is added to the logits, on the right the weights are $m_{jk} = e^{B_{jk}}$.


# %%
def masked(k):
    return exp(logit(j, k) + B[j, k])


added = total(L, lambda k: masked(k) * value(k, c)) / total(L, masked)
weighed = replace_entries(output(j, c, mask=True), m, lambda j, k: exp(B[j, k]))

# %% [markdown]
# ## The three gradients
#
# With $A_{jk}$ masked in either way and $f_{jc} = \sum_k A_{jk} V_{kc}$:
#
# $$\frac{\partial f_{jc}}{\partial W^V_{ab}} = \delta_{cb} \sum_k A_{jk} S_{ka}, \qquad
#   \frac{\partial f_{jc}}{\partial W^Q_{ai}}
#     = d_k^{-1/2} S_{ja} \sum_k A_{jk} K_{ki} (V_{kc} - f_{jc}),$$
#
# $$\frac{\partial f_{jc}}{\partial W^K_{ai}}
#     = d_k^{-1/2} Q_{ji} \sum_k A_{jk} (V_{kc} - f_{jc}) S_{ka}.$$


# %%
def gradients(name, causal, mask):
    f = output(j, c, causal=causal, mask=mask)

    def expected(summand):
        """The mean of summand(k) under row j of the attention."""
        return over_keys(
            j, lambda k: softmax(j, k, causal=causal, mask=mask) * summand(k), causal=causal
        )

    return [
        (
            f"{name}: value",
            derivative(f, W_V[a, b]),
            KroneckerDelta(c, b) * expected(lambda k: S[k, a]),
        ),
        (
            f"{name}: query",
            derivative(f, W_Q[a, i]),
            scale() * S[j, a] * expected(lambda k: key(k, i) * (value(k, c) - f)),
        ),
        (
            f"{name}: key",
            derivative(f, W_K[a, i]),
            scale() * query(j, i) * expected(lambda k: (value(k, c) - f) * S[k, a]),
        ),
    ]


# %%
IDENTITIES = [
    ("(23) an added mask is a weight", added, weighed),
    *gradients("(23) causal", causal=True, mask=False),
    *gradients("(23) any mask", causal=False, mask=True),
    *gradients("(23) causal, weighted", causal=True, mask=True),
]

if __name__ == "__main__":
    report(IDENTITIES)
