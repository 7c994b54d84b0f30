# %% [markdown]
# # Order of the tokens
#
# Let $\sigma$ be any bijection of $\{1, \dots, L\}$, and let the permuted sequence have the tokens
# $S_{\sigma(1)}, \dots, S_{\sigma(L)}$. Eq. 2 is *equivariant*: row $j$ of the new output is row
# $\sigma(j)$ of the old one. It is not invariant; only a readout that treats all rows alike is.
#
# One law about $\sigma$ is used, and no other property: a sum over all tokens may be taken in
# another order,
#
# $$\sum_{k=1}^{L} q(\sigma(k)) = \sum_{k=1}^{L} q(k).$$
#
# `reindex` applies it to every sum over $1..L$ whose index occurs as $\sigma(k)$ only.

# %%
from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    L,
    S,
    a,
    b,
    c,
    derivative,
    i,
    j,
    m,
    output,
    reindex,
    replace_entries,
    report,
    sigma,
    total,
)

# %% [markdown]
# ## Every row and its gradients
#
# `permuted` puts the permuted sequence into an expression. With a mask, the weight of a pair has to
# move with the pair: $m_{jk}$ becomes $m_{\sigma(j)\sigma(k)}$. A causal mask that stays where it
# is does not do so.


# %%
def permuted(expr):
    expr = replace_entries(expr, S, lambda k, x: S[sigma(k), x])
    return replace_entries(expr, m, lambda j, k: m[sigma(j), sigma(k)])


def rows(name, mask):
    old_row, new_row = output(sigma(j), c, mask=mask), permuted(output(j, c, mask=mask))
    return [
        (f"{name}: output", reindex(new_row), old_row),
        *(
            (f"{name}: {role}", reindex(derivative(new_row, entry)), derivative(old_row, entry))
            for role, entry in (("value", W_V[a, b]), ("query", W_Q[a, i]), ("key", W_K[a, i]))
        ),
    ]


# %% [markdown]
# ## A readout
#
# The mean over the rows is a sum over all tokens, so it does not see the order at all; nor do its
# gradients.
#
# $$\frac1L \sum_{j} f_{jc}(S_\sigma) = \frac1L \sum_{j} f_{jc}(S)$$

# %%
readout = total(L, lambda j: output(j, c)) / L
READOUT = [
    ("mean over rows: output", reindex(permuted(readout)), readout),
    *(
        (
            f"mean over rows: {role}",
            reindex(derivative(permuted(readout), entry)),
            derivative(readout, entry),
        )
        for role, entry in (("value", W_V[a, b]), ("query", W_Q[a, i]), ("key", W_K[a, i]))
    ),
]

# %%
IDENTITIES = [*rows("permuted", mask=False), *rows("permuted, mask moved", mask=True), *READOUT]

if __name__ == "__main__":
    report(IDENTITIES)
