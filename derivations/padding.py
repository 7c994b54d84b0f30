# %% [markdown]
# # Padding that nobody attends to
#
# Let $M$ padding elements $C_l$ follow the $L$ elements $S_k$ of a sequence, and let a mask give
# each of them the weight $\kappa$ in every row:
#
# $$f_{jc} = \frac{\sum_{k=1}^{L} E_{jk} V_{kc} + \kappa \sum_{l=1}^{M} E'_{jl} V'_{lc}}
#                 {\sum_{k=1}^{L} E_{jk} + \kappa \sum_{l=1}^{M} E'_{jl}}.$$
#
# A padding mask is $\kappa = 0$. What was padding may hold anything.

# %%
from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    L,
    M,
    a,
    b,
    c,
    derivative,
    i,
    j,
    kappa,
    output,
    report,
    total,
    value,
    weight,
)

# %%
above = total(L, lambda k: weight(j, k) * value(k, c))
below = total(L, lambda k: weight(j, k))
padding_above = total(M, lambda k: weight(j, k, keys="C") * value(k, c, keys="C"))
padding_below = total(M, lambda k: weight(j, k, keys="C"))
padded = (above + kappa * padding_above) / (below + kappa * padding_below)

# %% [markdown]
# ## The gradients
#
# Differentiated first, with $\kappa$ a number like any other, and masked afterwards: outputs and
# gradients of the real elements are those of the sequence without padding.

# %%
IDENTITIES = [
    ("output", padded.subs(kappa, 0), output(j, c)),
    *(
        (name, derivative(padded, entry).subs(kappa, 0), derivative(output(j, c), entry))
        for name, entry in (("value", W_V[a, b]), ("query", W_Q[a, i]), ("key", W_K[a, i]))
    ),
]

if __name__ == "__main__":
    report(IDENTITIES)
