# %% [markdown]
# # Row by row: the derivation of Appendix A.3
#
# The appendix takes one output ($v = 1$), writes the output as a column of quotients, and
# differentiates one row at a time. Each line of that argument is an identity of its own here, so
# that a wrong line would have a name. Nothing is taken from the line before: both sides of each
# identity are written out from Eq. 2.
#
# For $v = 1$ the value column is $V_k = \sum_a S_{ka} W^V_{a1}$, and a row of the output is
#
# $$f_j = \frac{N_j}{Z_j}, \qquad N_j = \sum_k E_{jk} V_k, \qquad Z_j = \sum_k E_{jk}, \qquad
#   E_{jk} = \exp\Big(d_k^{-1/2} \sum_i Q_{ji} K_{ki}\Big).$$

# %%
from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    S,
    a,
    derivative,
    i,
    j,
    k,
    key,
    normaliser,
    over_keys,
    query,
    report,
    scale,
    softmax,
    value,
    weight,
)


def weighted(summand):
    """Sum_k E_jk summand(k)."""
    return over_keys(j, lambda k: weight(j, k) * summand(k))


def V(k):
    return value(k, 1)


N, Z = weighted(V), normaliser(j)
softmax_row = over_keys(j, lambda k: softmax(j, k) * V(k))  # a row of Eq. 2, as first written

# %% [markdown]
# ## The value matrix: (25)-(28)
#
# $W^V$ stands outside the softmax. Differentiating the numerator alone is enough, as $Z_j$ does not
# contain it; the result is row $j$ of $\mathrm{diag}(1/(E\mathbf 1))\,E\,S$.

# %%
by_value = derivative(softmax_row, W_V[a, 1])
attended = weighted(lambda k: S[k, a])

VALUE = [
    ("(25) only the numerator moves", by_value, derivative(N, W_V[a, 1]) / Z),
    ("(26)-(28) row j of diag(1/(E 1)) E S", by_value, attended / Z),
]

# %% [markdown]
# ## The query matrix: (29)-(43)
#
# First the rows are stacked as quotients, (29)-(33). The text then looks at row $j$: an entry of
# $E$ is the exponential of a sum that is linear in $W^Q$,
#
# $$\frac{\partial E_{jk}}{\partial W^Q_{ai}} = d_k^{-1/2}\, S_{ja}\, K_{ki}\, E_{jk},$$
#
# which gives $\partial N_j$ and $\partial Z_j$ by summing over $k$; the quotient rule puts the two
# together, and the common factor $d_k^{-1/2} S_{ja}$ is taken out, (34)-(43).

# %%
stacked = derivative(softmax_row, W_Q[a, i])
dN, dZ = derivative(N, W_Q[a, i]), derivative(Z, W_Q[a, i])
q = scale() * S[j, a]

NV = weighted(lambda k: key(k, i) * V(k))  # E_(j,:) diag(K_(:,i)) V
NK = weighted(lambda k: key(k, i))  # E_(j,:) K_(:,i)

QUERY = [
    ("(29)-(33) rows of the quotient", stacked, derivative(N / Z, W_Q[a, i])),
    (
        "row j after (33): an entry of E by W_Q",
        derivative(weight(j, k), W_Q[a, i]),
        q * key(k, i) * weight(j, k),
    ),
    ("row j after (33): the numerator by W_Q", dN, q * NV),
    ("row j after (33): the normaliser by W_Q", dZ, q * NK),
    ("row j after (33): quotient rule", stacked, (dN * Z - N * dZ) / Z**2),
    ("(34)-(43) the parts put in", stacked, (q * NV * Z - N * q * NK) / Z**2),
    ("(34)-(43) collected: Eq. 11", stacked, q * (NV * Z - N * NK) / Z**2),
]

# %% [markdown]
# ## The key matrix: (44)-(55)
#
# The same road. Only the derivative of an entry of $E$ differs: the query is the row's, the
# features are the key's,
#
# $$\frac{\partial E_{jk}}{\partial W^K_{ai}} = d_k^{-1/2}\, Q_{ji}\, S_{ka}\, E_{jk}.$$
#
# As $S_{ka}$ depends on $k$, it stays under the sums, and only $d_k^{-1/2} Q_{ji}$ comes out.

# %%
stacked_k = derivative(softmax_row, W_K[a, i])
dN_k, dZ_k = derivative(N, W_K[a, i]), derivative(Z, W_K[a, i])
p = scale() * query(j, i)

NS = weighted(lambda k: V(k) * S[k, a])  # E_(j,:) diag(V) S
KEY = [
    ("(44)-(48) rows of the quotient", stacked_k, derivative(N / Z, W_K[a, i])),
    (
        "row j after (48): an entry of E by W_K",
        derivative(weight(j, k), W_K[a, i]),
        p * S[k, a] * weight(j, k),
    ),
    ("row j after (48): the numerator by W_K", dN_k, p * NS),
    ("row j after (48): the normaliser by W_K", dZ_k, p * attended),
    ("row j after (48): quotient rule", stacked_k, (dN_k * Z - N * dZ_k) / Z**2),
    ("(49)-(55) the parts put in", stacked_k, (p * NS * Z - N * p * attended) / Z**2),
    ("(49)-(55) collected: Eq. 12", stacked_k, p * (NS * Z - N * attended) / Z**2),
]

# %%
IDENTITIES = VALUE + QUERY + KEY

if __name__ == "__main__":
    report(IDENTITIES)
