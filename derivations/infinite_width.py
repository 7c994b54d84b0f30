# %% [markdown]
# # One head as its keys grow wide
#
# Eq. 2 sees $W^Q$ and $W^K$ through the $d \times d$ matrix $M = d_k^{-1/2} W^Q W^{K\top}$ only.
# With
#
# $$F_{xy} = \frac{\partial f_{jc}}{\partial M_{xy}}
#   = S_{jx} \sum_k A_{jk} (V_{kc} - f_{jc}) S_{ky},$$
#
# $$\frac{\partial f_{jc}}{\partial W^Q_{ai}} = d_k^{-1/2} \sum_y F_{ay} W^K_{yi}, \qquad
#   \frac{\partial f_{jc}}{\partial W^K_{ai}} = d_k^{-1/2} \sum_x F_{xa} W^Q_{xi}.$$
#
# What the width is to the learner and its kernel is then $M$ and two more $d \times d$ matrices,
# $N^Q = W^Q W^{Q\top} / d_k$ and $N^K = W^K W^{K\top} / d_k$.

# %%
from sympy import Rational

from ntteach.symbols import (
    W_K,
    W_Q,
    R,
    S,
    a,
    c,
    d,
    d_k,
    derivative,
    i,
    j,
    k,
    kernel_block,
    key,
    logit,
    output,
    over_entries,
    over_keys,
    query,
    report,
    second,
    softmax,
    total,
    value,
)

ROOT = d_k ** Rational(-1, 2)
f = output(j, c, mask=True)


def by_product(x, y):
    """F_xy: the derivative of f by entry x, y of M."""
    return S[j, x] * over_keys(j, lambda k: softmax(j, k, mask=True) * (value(k, c) - f) * S[k, y])


def gram_queries(x, y):
    """Entry x, y of N^Q."""
    return total(d_k, lambda i: W_Q[x, i] * W_Q[y, i]) / d_k


def gram_keys(x, y):
    """Entry x, y of N^K."""
    return total(d_k, lambda i: W_K[x, i] * W_K[y, i]) / d_k


def over(summand, count=2):
    """The sum over `count` rows of the weights."""
    if count == 0:
        return summand()
    return total(d, lambda x: over(lambda *rest: summand(x, *rest), count - 1))


GRADIENTS = [
    (
        "gradient: query",
        derivative(f, W_Q[a, i]),
        ROOT * total(d, lambda y: by_product(a, y) * W_K[y, i]),
    ),
    (
        "gradient: key",
        derivative(f, W_K[a, i]),
        ROOT * total(d, lambda x: by_product(x, a) * W_Q[x, i]),
    ),
]

# %% [markdown]
# ## The kernel
#
# $$\sum_{ai} \frac{\partial f}{\partial W^Q_{ai}} \frac{\partial f'}{\partial W^Q_{ai}}
#   = \sum_{xyz} F_{xy} N^K_{yz} F'_{xz}, \qquad
#   \sum_{ai} \frac{\partial f}{\partial W^K_{ai}} \frac{\partial f'}{\partial W^K_{ai}}
#   = \sum_{xyz} F_{yx} N^Q_{yz} F'_{zx}.$$
#
# With weights drawn from $N(0, 1)$, $N^Q$ and $N^K$ tend to the identity as $d_k$ grows, and the
# entries of $M$ to independent normal numbers: of variance 1, however wide the keys are. So the
# kernel has a limit at the start, but a random one, a function of $M$.

# %%
KERNEL = [
    (
        "kernel: query part",
        kernel_block(f, W_Q),
        over(lambda x, y, z: by_product(x, y) * gram_keys(y, z) * second(by_product(x, z)), 3),
    ),
    (
        "kernel: key part",
        kernel_block(f, W_K),
        over(lambda x, y, z: by_product(y, x) * gram_queries(y, z) * second(by_product(z, x)), 3),
    ),
]

# %% [markdown]
# ## Training
#
# Let $R$ be the derivative of the loss by $M$: any $d \times d$ matrix. Gradient flow moves the
# weights along $D^Q = -d_k^{-1/2} R W^K$, $D^K = -d_k^{-1/2} R^\top W^Q$. Then
#
# $$\dot M = -(R N^K + N^Q R), \qquad \dot N^Q = -\tfrac1{d_k} (R M^\top + M R^\top), \qquad
#   \dot N^K = -\tfrac1{d_k} (R^\top M + M^\top R).$$
#
# The Grams stop moving as $d_k$ grows. The product $M$ does not: in the limit $\dot M = -2 R$, as
# for a learner that has $M$ itself for its parameter. It is a function of a fixed number of
# parameters, which all move by amounts of order one, and its kernel changes with them. With $W^V$,
# three matrices of fixed size obey an equation in which $1/d_k$ is a smooth parameter; so what
# moves at the rate that follows at $1/d_k = 0$ has moved at any fixed small time, uniformly in the
# width.
#
# Below, $\dot M$ stands between two tokens, where it is the motion of a logit
# $S_j M S_k^\top$, and so do the Grams.


# %%
def in_training(expr):
    """The derivative of an expression along gradient flow."""

    def query_motion(x, i):
        return -ROOT * total(d, lambda y: R[x, y] * W_K[y, i])

    def key_motion(y, i):
        return -ROOT * total(d, lambda x: R[x, y] * W_Q[x, i])

    def along(W, motion):
        return over_entries(W, lambda entry: derivative(expr, entry) * motion(*entry.indices))

    return along(W_Q, query_motion) + along(W_K, key_motion)


def product(x, y):
    """Entry x, y of M."""
    return ROOT * total(d_k, lambda i: W_Q[x, i] * W_K[y, i])


def between_tokens(summand):
    return over(lambda x, y, z: S[j, x] * summand(x, y, z) * S[k, y], 3)


def inner(rows):
    """The inner product of two queries or two keys, over d_k."""
    return total(d_k, lambda i: rows(j, i) * rows(k, i)) / d_k


TRAINING = [
    (
        "training: logits",
        in_training(logit(j, k)),
        -between_tokens(lambda x, y, z: R[x, z] * gram_keys(z, y) + gram_queries(x, z) * R[z, y]),
    ),
    (
        "training: inner products of queries",
        in_training(inner(query)),
        -between_tokens(lambda x, y, z: R[x, z] * product(y, z) + product(x, z) * R[y, z]) / d_k,
    ),
    (
        "training: inner products of keys",
        in_training(inner(key)),
        -between_tokens(lambda x, y, z: R[z, x] * product(z, y) + product(z, x) * R[z, y]) / d_k,
    ),
]

# %%
IDENTITIES = [*GRADIENTS, *KERNEL, *TRAINING]

if __name__ == "__main__":
    report(IDENTITIES)
