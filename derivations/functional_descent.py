# %% [markdown]
# # Teaching, learning and descent in function space (Eqs. 3-5, 16 and 17)
#
# Functions are as in `function_space.py`: lists of coefficients on $r$ sequences,
# $f = \sum_i \alpha_i K(S_i, \cdot)$ with $K(S_m, S_n) = \langle \phi_m, \phi_n \rangle$, and a
# gradient is what Definition 2 and Lemmas 5 and 6 there make it. Everything is for all $r$ and all
# features.

# %%
from sympy import Integer, KroneckerDelta, Rational

from ntteach.symbols import (
    M,
    Phi,
    T,
    Z,
    alpha,
    beta,
    c,
    derivative,
    eta,
    kappa,
    n,
    r,
    report,
    t,
    total,
    u,
    v,
    w,
)

HALF = Rational(1, 2)


def gram(x, y):
    """K(S_x, S_y)."""
    return total(M, lambda p: Phi[x, p] * Phi[y, p])


def function(a, y):
    """The value at S_y of the function with coefficients a."""
    return total(r, lambda x: a(x) * gram(x, y))


def inner(a, b):
    """The inner product of two functions of the span, by their coefficients."""
    return total(r, lambda x: total(r, lambda y: a(x) * b(y) * gram(x, y)))


def f(x):
    return alpha[x]


def g(x):
    return beta[x]


def section(x):
    """K_S for S = S_n has one coefficient."""
    return KroneckerDelta(x, n)


def along(x):
    """f + t g."""
    return alpha[x] + t * beta[x]


def at_start(expr):
    return expr.xreplace({t: Integer(0)})


def gram_of_outputs(x, b, y, e):
    """K(S_x, S_y)_be of a vector-valued kernel."""
    return total(M, lambda p: Phi[x, b, p] * Phi[y, e, p])


def over_outputs(summand):
    return total(r, lambda x: total(v, lambda b: summand(x, b)))


def inner_of_outputs(a, b):
    return over_outputs(
        lambda x, y: over_outputs(lambda z, e: a(x, y) * b(z, e) * gram_of_outputs(x, y, z, e))
    )


def function_of_outputs(a, y, e):
    return over_outputs(lambda x, b: a(x, b) * gram_of_outputs(x, b, y, e))


# %% [markdown]
# ## Teaching and learning (Eqs. 3 and 4)
#
# In Eq. 3, with the price $\lambda = w$ of an example and a discrepancy $m$ that is not negative, a
# set of $k = \kappa$ examples costs $m + \lambda k$ and the empty set $m_0$. Their difference is
# $m + \lambda (k - m_0 / \lambda)$: more than $m_0 / \lambda$ examples are dearer than none.
#
# In Eq. 4 with the squared loss, a distribution with weights $Z_i$ on the sequences, and any
# targets $T_i$, the loss of $g + u$ is that of $g$, and a first-order term, and
# $\tfrac12 \sum_i Z_i u(S_i)^2$. So $g$ is a minimiser if and only if its gradient is zero, and
# then the minimisers are all functions with its values on the sequences. If $T_i = g(S_i)$, where
# the targets come from $g$ itself, that is so and the loss is zero. Two minimisers that both lie
# in the span of the sections of the training sequences are one: for $u$ with coefficients
# $\alpha$, $|u|^2 = \sum_i \alpha_i u(S_i)$, and all $u(S_i)$ are zero.


# %%
def expected_loss(a, target):
    return HALF * total(r, lambda x: Z[x] * (function(a, x) - target(x)) ** 2)


def together(x):
    return alpha[x] + beta[x]


PROBLEMS = [
    ("(3) more examples than they are worth", t + w * kappa - u, t + w * (kappa - u / w)),
    (
        "(4) loss beside a function",
        expected_loss(together, lambda x: T[x]),
        expected_loss(g, lambda x: T[x])
        + total(r, lambda x: Z[x] * (function(g, x) - T[x]) * function(f, x))
        + HALF * total(r, lambda x: Z[x] * function(f, x) ** 2),
    ),
    (
        "(4) loss beside the target",
        expected_loss(together, lambda x: function(g, x)),
        HALF * total(r, lambda x: Z[x] * function(f, x) ** 2),
    ),
    (
        "(4) no second minimiser in the span",
        inner(f, f),
        total(r, lambda x: alpha[x] * function(f, x)),
    ),
]

# %% [markdown]
# ## Descent (Eqs. 5, 16 and 17)
#
# The loss of one example, $\tfrac12 (f(S_n) - T_n)^2$, is an outer function of evaluation at $S_n$:
# by Eq. 22 and Lemma 6 its gradient is $(f(S_n) - T_n) K_{S_n}$, which is Eq. 5's. After one step
# the inner product with any $g$ has changed by $-\eta (f(S_n) - T_n) g(S_n)$; with $g = K_S$ that
# is the change of $f(S)$.
#
# The loss averaged over all outputs of all sequences, for a vector-valued kernel, has the gradient
# of Eq. 17. Its flow, Eq. 16, changes the value of any output by $-\eta$ times the inner product
# with that output's section, and the loss at the rate $-\eta |\mathcal G|^2$. There $G_{ib}$ is
# the derivative of any loss by output $b$ for $S_i$.


# %%
def residual(x, b):
    return function_of_outputs(lambda y, e: alpha[y, e], x, b) - T[x, b]


def averaged_loss(a):
    outputs = over_outputs(lambda x, b: HALF * (function_of_outputs(a, x, b) - T[x, b]) ** 2)
    return outputs / (r * v)


def averaged_gradient(x, b):
    """The coefficients of Eq. 17's functional gradient."""
    return residual(x, b) / (r * v)


def one_loss(a):
    return HALF * (function(a, n) - T[n]) ** 2


def stepped(x):
    """The coefficients after one step of Eq. 5 on the example S_n."""
    return alpha[x] - eta * (function(f, n) - T[n]) * KroneckerDelta(x, n)


DESCENT = [
    (
        "(5) gradient for one example",
        at_start(derivative(one_loss(along), t)),
        inner(lambda x: (function(f, n) - T[n]) * section(x), g),
    ),
    (
        "(5) one step",
        inner(stepped, g),
        inner(f, g) - eta * (function(f, n) - T[n]) * function(g, n),
    ),
    (
        "(17) gradient of the averaged loss",
        at_start(derivative(averaged_loss(lambda x, b: alpha[x, b] + t * beta[x, b]), t)),
        inner_of_outputs(averaged_gradient, lambda x, b: beta[x, b]),
    ),
    (
        "(16) speed of an output",
        derivative(
            function_of_outputs(lambda x, b: alpha[x, b] - t * eta * T[x, b] / (r * v), n, c), t
        ),
        -eta / (r * v) * over_outputs(lambda x, b: T[x, b] * gram_of_outputs(x, b, n, c)),
    ),
    (
        "(16) speed of the loss",
        at_start(
            derivative(
                averaged_loss(lambda x, b: alpha[x, b] - t * eta * averaged_gradient(x, b)), t
            )
        ),
        -eta * inner_of_outputs(averaged_gradient, averaged_gradient),
    ),
]

# %%
IDENTITIES = [*PROBLEMS, *DESCENT]

if __name__ == "__main__":
    report(IDENTITIES)
