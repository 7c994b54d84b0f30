# %% [markdown]
# # From a step of the parameters to a change of the output (Eqs. 13-15 and 56-58)
#
# Move the parameters along a straight line, $\theta + t \Delta$. Then the output is a function of
# one number, and the chain rule says how fast it changes, for every $t$ and every direction:
#
# $$\frac{d}{dt} f_{jc}(\theta + t \Delta)
#   = \Big\langle \frac{\partial f_{jc}}{\partial \theta} \Big|_{\theta + t \Delta},
#     \Delta \Big\rangle.$$
#
# This is an equality; nothing is left over. At $t = 0$ it is the first-order term of Eq. 13: the
# difference quotient of $f$ tends to the inner product, so that what remains of a finite step is
# of smaller order than the step. Any path has a tangent, so along a path $\theta(t)$ the same rule
# is Eq. 14, and its remainder is zero:
#
# $$\frac{\partial f}{\partial t} = \Big\langle \frac{\partial f}{\partial \theta},
#   \frac{\partial \theta}{\partial t} \Big\rangle.$$

# %%
from sympy import Add, Integer, Rational

from ntteach.symbols import (
    D_K,
    D_Q,
    D_V,
    L2,
    S2,
    W_K,
    W_Q,
    W_V,
    G,
    N,
    a,
    b,
    c,
    c2,
    derivative,
    eta,
    i,
    j,
    j2,
    kernel_block,
    output,
    over_entries,
    replace_entries,
    report,
    second,
    t,
    total,
    v,
)

f = output(j, c)
DIRECTIONS = {W_V: D_V, W_Q: D_Q, W_K: D_K}


def along(expr):
    """At theta + t Delta."""
    for W, D in DIRECTIONS.items():
        expr = replace_entries(expr, W, lambda x, y, W=W, D=D: W[x, y] + t * D[x, y])
    return expr


def directional(W, at=along):
    """<d f / d W, D>, taken at a point."""
    return over_entries(W, lambda entry: at(derivative(f, entry)) * DIRECTIONS[W][entry.indices])


speed = Add(*(directional(W) for W in DIRECTIONS))

# %% [markdown]
# ## The step of Eq. 13 when it has no remainder
#
# The output is linear in $W^V$. If nothing else moves, the first-order term is all there is, for a
# step of any size: $f(W^V + t \Delta) - f(W^V) = t \langle \partial f / \partial W^V, \Delta
# \rangle$.


# %%
def only(W):
    """The output where one weight matrix moves."""
    D = DIRECTIONS[W]
    return replace_entries(f, W, lambda x, y: W[x, y] + t * D[x, y])


def first_order(W):
    return directional(W, at=lambda expr: expr)


# %% [markdown]
# ## The direction of gradient descent (Eq. 56, which is Eq. 7)
#
# The learner is trained on $N$ sequences, $S_n$, and we look at its output for any sequence $S$.
# With the loss of each output averaged, gradient descent moves every weight by
#
# $$\frac{\partial \theta}{\partial t}
#   = -\frac{\eta}{N L} \sum_{n, j', c'}
#     \frac{\partial \ell}{\partial f(S_n)_{j'c'}}\,
#     \frac{\partial f(S_n)_{j'c'}}{\partial \theta}.$$
#
# Below, $L'$ is the length of the training sequences, and the loss is half the squared distance
# from targets $Y_{nj'c'}$, so that its derivative is the residual. (The targets may be anything, so
# the residuals may.)

# %%
# The letter G is used for the targets here, and for the derivatives of any loss further down.
Y = G


def trained(expr, n, row, column):
    """An expression of the second sequence, at an output for sequence n of the training set."""
    expr = replace_entries(expr, S2, lambda k, x: S2[n, k, x])
    return expr.xreplace({j2: row, c2: column})


def over_outputs(summand):
    """The sum over all outputs for the training set, divided by the number of its elements."""
    return total(
        N, lambda n: total(L2, lambda row: total(v, lambda column: summand(n, row, column)))
    ) / (N * L2)


def residual(*output_for):
    return trained(second(f), *output_for) - Y[output_for]


loss = over_outputs(lambda *output_for: Rational(1, 2) * residual(*output_for) ** 2)


def product(gradient, entry):
    """The loss's derivatives by the outputs times the outputs' derivatives by a weight."""
    partial = derivative(second(f), entry)
    return over_outputs(lambda *output_for: gradient(*output_for) * trained(partial, *output_for))


# %% [markdown]
# ## The output moves along the kernel (Eqs. 57, 58 and 15)
#
# Put this direction into the chain rule. Both factors are sums over the parameters; what is left
# of them is the kernel between $S$ and each training sequence. With $G$ for the derivatives of any
# loss this is Eq. 57; its left side is that of Eq. 14, so that it is Eq. 58 and Eq. 15 as well:
#
# $$\Big\langle \frac{\partial f_{jc}}{\partial \theta},
#     \frac{\partial \theta}{\partial t} \Big\rangle
#   = -\frac{\eta}{N L} \sum_{n, j', c'} G_{nj'c'}\, K\big[(S, j, c), (S_n, j', c')\big].$$


# %%
def any_gradient(*output_for):
    return G[output_for]


def along_kernel(W, gradient):
    block = kernel_block(f, W)
    return -eta * over_outputs(
        lambda *output_for: gradient(*output_for) * trained(block, *output_for)
    )


def descent(W, slope):
    """<d f / d W, -eta slope>."""
    return over_entries(W, lambda entry: derivative(f, entry) * -eta * slope(entry))


NAMES = {W_V: "value", W_Q: "query", W_K: "key"}

# %%
IDENTITIES = [
    ("(14) along a line, for all t", derivative(along(f), t), speed),
    *(
        (
            f"(13) first order: {name}",
            derivative(only(W), t).xreplace({t: Integer(0)}),
            first_order(W),
        )
        for W, name in NAMES.items()
    ),
    ("(13) no remainder if W_V alone moves", only(W_V), f + t * first_order(W_V)),
    *(
        (
            f"(56) gradient descent: {name}",
            derivative(loss, entry),
            product(residual, entry),
        )
        for name, entry in (("value", W_V[a, b]), ("query", W_Q[a, i]), ("key", W_K[a, i]))
    ),
    *(
        (
            f"(57) any loss: {name}",
            descent(W, lambda entry: product(any_gradient, entry)),
            along_kernel(W, any_gradient),
        )
        for W, name in NAMES.items()
    ),
]

if __name__ == "__main__":
    report(IDENTITIES)
