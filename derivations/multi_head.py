# %% [markdown]
# # Several heads
#
# Each of $H$ heads has weights of its own, $W^Q_{hai}$, $W^K_{hai}$, $W^V_{hac}$, with keys of
# width $d_h$ and $v_h$ value columns, and scales its logits by $d_h^{-1/2}$. The number of heads
# stays a symbol. $h$ is the head of the output, $g$ the head of the weight.

# %%
from sympy import KroneckerDelta

from ntteach.symbols import (
    W_K,
    W_O,
    W_Q,
    W_V,
    H,
    S,
    a,
    b,
    c,
    derivative,
    e,
    g,
    h,
    i,
    j,
    key,
    output,
    over_keys,
    p,
    query,
    report,
    scale,
    softmax,
    total,
    v_h,
    value,
)

# %% [markdown]
# ## Heads side by side
#
# The weights of head $g$ do not enter the output of another head. On its own head each formula is
# the one for a single head:
#
# $$\frac{\partial f_{hjc}}{\partial W^V_{gab}} = \delta_{hg}\,\delta_{cb} \sum_k A^h_{jk} S_{ka},
#   \qquad
#   \frac{\partial f_{hjc}}{\partial W^Q_{gai}}
#     = \delta_{hg}\, d_h^{-1/2} S_{ja} \sum_k A^h_{jk} K^h_{ki} (V^h_{kc} - f_{hjc}),$$
#
# $$\frac{\partial f_{hjc}}{\partial W^K_{gai}}
#     = \delta_{hg}\, d_h^{-1/2} Q^h_{ji} \sum_k A^h_{jk} (V^h_{kc} - f_{hjc}) S_{ka}.$$


# %%
def expected(summand, head):
    """The mean of summand(k) under row j of one head's attention."""
    return over_keys(j, lambda k: softmax(j, k, head=head) * summand(k))


def centred(k, c, head):
    return value(k, c, head=head) - output(j, c, head=head)


def by_value(head):
    return expected(lambda k: S[k, a], head)


def by_query(c, head):
    summand = expected(lambda k: key(k, i, head=head) * centred(k, c, head), head)
    return scale(head=head) * S[j, a] * summand


def by_key(c, head):
    summand = expected(lambda k: centred(k, c, head) * S[k, a], head)
    return scale(head=head) * query(j, i, head=head) * summand


f, own_head = output(j, c, head=h), KroneckerDelta(h, g)

# %% [markdown]
# ## Heads mixed by $W^O$
#
# The heads' outputs, one after the other, are multiplied by $W^O$ with $o$ columns; entry $(h, c)$
# of that row meets $W^O_{hce}$:
#
# $$F_{je} = \sum_{h=1}^{H} \sum_{c=1}^{v_h} f_{hjc} W^O_{hce}.$$
#
# Of the sum over heads, differentiation by a weight of head $g$ leaves that head. What was a column
# $c$ of the output is now summed with its weight in $W^O$.

# %%
F = total(H, lambda h: total(v_h, lambda c: output(j, c, head=h) * W_O[h, c, e]))

mixed_query = total(v_h, lambda c: W_O[g, c, e] * by_query(c, g))
mixed_key = total(v_h, lambda c: W_O[g, c, e] * by_key(c, g))

# %%
IDENTITIES = [
    (
        "heads side by side: value",
        derivative(f, W_V[g, a, b]),
        own_head * KroneckerDelta(c, b) * by_value(h),
    ),
    ("heads side by side: query", derivative(f, W_Q[g, a, i]), own_head * by_query(c, h)),
    ("heads side by side: key", derivative(f, W_K[g, a, i]), own_head * by_key(c, h)),
    ("heads mixed: value", derivative(F, W_V[g, a, b]), W_O[g, b, e] * by_value(g)),
    ("heads mixed: query", derivative(F, W_Q[g, a, i]), mixed_query),
    ("heads mixed: key", derivative(F, W_K[g, a, i]), mixed_key),
    (
        "heads mixed: output",
        derivative(F, W_O[g, b, p]),
        KroneckerDelta(e, p) * output(j, b, head=g),
    ),
]

if __name__ == "__main__":
    report(IDENTITIES)
