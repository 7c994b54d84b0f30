# %% [markdown]
# # One step of gradient descent (Eqs. 6 and 7)
#
# The loss of a sequence is averaged over its elements. With $\ell_j$ the loss of element $j$ and
# $G_j = \partial \ell_j / \partial f_j$, the chain rule splits the gradient by any parameter into
# what the loss asks for and what the learner can do:
#
# $$\frac{\partial}{\partial W} \frac1L \sum_{j} \ell_j
#   = \frac1L \sum_{j} G_j \frac{\partial f_j}{\partial W}.$$
#
# The average over the sequences of a batch stands outside of all this. Here $\ell$ is the squared
# loss $\frac12 (f_j - Y_j)^2$, whose $G_j$ is the residual; the targets $Y_j$ may be anything.

# %%
from sympy import Rational

from ntteach.symbols import W_K, W_Q, W_V, G, L, a, derivative, i, output, report, total, v

# %%
# The letter G is used for the targets: a matrix with a row for each element.
Y = G


def residual(j):
    return output(j, 1) - Y[j, 1]


loss = total(L, lambda j: Rational(1, 2) * residual(j) ** 2) / L


def product(entry):
    """Eq. 7's product of the loss gradient and the learner's gradient, averaged."""
    return total(L, lambda j: residual(j) * derivative(output(j, 1), entry)) / L


# %%
CHAIN_RULE = [
    (f"(6)-(7) chain rule: {name}", derivative(loss, entry), product(entry))
    for name, entry in (("value", W_V[a, 1]), ("query", W_Q[a, i]), ("key", W_K[a, i]))
]

# %% [markdown]
# ## One mean or two
#
# For sequences of one length the mean over sequences of their means over elements is the mean over
# all elements. (For unequal lengths it is not.) Below, column $c$ of $G$ stands for sequence $c$.

# %%
two_means = total(v, lambda c: total(L, lambda j: G[j, c]) / L) / v
one_mean = total(v, lambda c: total(L, lambda j: G[j, c])) / (v * L)

# %%
IDENTITIES = [
    ("equal lengths: one mean", two_means, one_mean),
    *CHAIN_RULE,
]

if __name__ == "__main__":
    report(IDENTITIES)
