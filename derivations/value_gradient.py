# %% [markdown]
# # The gradient by the value matrix
#
# Eq. 2 row by row: with $E_{jk} = \exp(d_k^{-1/2} \sum_i Q_{ji} K_{ki})$ and
# $Z_j = \sum_k E_{jk}$,
#
# $$f_{jc} = \frac{1}{Z_j} \sum_{k=1}^{L} E_{jk} V_{kc}, \qquad
#   V_{kc} = \sum_{a=1}^{d} S_{ka} W^V_{ac}.$$
#
# The value matrix enters once, and linearly. Its derivative is what stands beside it. We show this
# for a length $L$, widths $d$, $d_k$ and an output size $v$ that stay symbols.

# %%
from sympy import KroneckerDelta

from ntteach.symbols import (
    W_V,
    S,
    a,
    b,
    c,
    d,
    derivative,
    j,
    normaliser,
    output,
    over_keys,
    report,
    softmax,
    total,
    weight,
)

# %% [markdown]
# ## Rows that do not know of $W^V$
#
# $A_{jk} = E_{jk} / Z_j$ holds the queries and the keys only. Summing over the tokens first leaves
# one number for each input feature, the attended feature $\sum_k A_{jk} S_{ka}$:
#
# $$f_{jc} = \sum_{a=1}^{d} \Big(\sum_{k=1}^{L} A_{jk} S_{ka}\Big) W^V_{ac}. \tag{25}$$


# %%
def attended(x):
    return over_keys(j, lambda k: softmax(j, k) * S[k, x])


linear_in_the_values = total(d, lambda x: attended(x) * W_V[x, 1])

# %% [markdown]
# ## One output ($v = 1$)
#
# Column $c = 1$ is the only one. Two ways to write the result are the two lines of Eq. 10: rows of
# $\mathrm{softmax}(QK^\top/\sqrt{d_k})\,S$, and rows of $\mathrm{diag}(1/(E\mathbf 1))\,E\,S$ with
# the normaliser pulled out:
#
# $$\frac{\partial f_j}{\partial W^V_a} = \sum_k A_{jk} S_{ka}
#   = \frac{\sum_k E_{jk} S_{ka}}{\sum_k E_{jk}}.$$

# %%
one_output = derivative(output(j, 1), W_V[a, 1])
normalised_last = over_keys(j, lambda k: weight(j, k) * S[k, a]) / normaliser(j)

# %% [markdown]
# ## Any number of outputs
#
# Column $c$ of the output sees column $c$ of $W^V$ and no other, so the whole derivative is the
# same number, put on the diagonal of the two column indices:
#
# $$\frac{\partial f_{jc}}{\partial W^V_{ab}} = \delta_{cb} \sum_k A_{jk} S_{ka}.$$

# %%
any_output = derivative(output(j, c), W_V[a, b])
same_column = KroneckerDelta(c, b)

# %%
IDENTITIES = [
    ("(25) the output is linear in W_V", output(j, 1), linear_in_the_values),
    ("(26)-(28), (10) softmax form, v = 1", one_output, attended(a)),
    ("(26)-(28), (10) diag(1/(E 1)) E S, v = 1", one_output, normalised_last),
    ("(10) any v, softmax form", any_output, same_column * attended(a)),
    ("(10) any v, diag(1/(E 1)) E S", any_output, same_column * normalised_last),
]

if __name__ == "__main__":
    report(IDENTITIES)
