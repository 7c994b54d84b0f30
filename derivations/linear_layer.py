# %% [markdown]
# # The query gradient beside a linear layer
#
# A linear layer maps each element to $S_j W$; the gradient of its column $i$ by column $i$ of $W$
# is the element itself, $\partial (S W)_{ji} / \partial W_{ai} = S_{ja}$. The queries are such a
# layer. By the chain rule the query gradient is the layer's, times what the rest of the learner
# makes of a query: $d_k^{-1/2}\,\omega_{ji}$.
#
# $$\frac{\partial f_j}{\partial W^Q_{ai}}
#     = d_k^{-1/2}\, \omega_{ji}\, \frac{\partial Q_{ji}}{\partial W^Q_{ai}}.$$
#
# With $\omega$ replaced by 1 the layer's gradient is left, but for the factor $d_k^{-1/2}$.

# %%
from ntteach.symbols import (
    W_Q,
    S,
    a,
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

# %%
omega = over_keys(j, lambda k: softmax(j, k) * key(k, i) * (value(k, 1) - output(j, 1)))
layer = derivative(query(j, i), W_Q[a, i])

IDENTITIES = [
    ("gradient of the layer", layer, S[j, a]),
    ("query gradient", derivative(output(j, 1), W_Q[a, i]), scale() * omega * layer),
    ("query gradient with omega = 1", scale() * layer, scale() * S[j, a]),
]

if __name__ == "__main__":
    report(IDENTITIES)
