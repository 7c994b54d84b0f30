# %% [markdown]
# # What becomes of the tangent kernel along a run (Theorem 3, Eqs. 59-63)
#
# Write $\Phi$ for the features of the $r$ outputs of the training set, their gradients, a row for
# each output and a column for each of $M$ parameters. The kernel is $K_\theta = \Phi \Phi^\top$,
# and $g$ are the derivatives of the loss by the outputs. An argument of the kernel that is not in
# the training set is one more row.

# %%
from sympy import Integer, Rational

from ntteach.symbols import (
    G2,
    W_K,
    W_Q,
    D,
    F,
    G,
    L,
    M,
    Phi,
    R,
    U,
    X,
    Y,
    c,
    d,
    d_k,
    derivative,
    eta,
    j,
    output,
    over_entries,
    psi,
    r,
    report,
    rho,
    tau,
    total,
    u,
    v,
    w,
)

HALF = Rational(1, 2)

# %% [markdown]
# ## The kernel settles where the parameters do
#
# Let $U$ be the features at other parameters, for instance at the limit of a run. Then
#
# $$\Phi \Phi^\top - U U^\top = (\Phi - U) \Phi^\top + U (\Phi - U)^\top,$$
#
# so that $|K_\theta - K_{\theta'}| \le |\Phi - U| (|\Phi| + |U|)$. Features are smooth
# functions of the parameters. Where a run has a limit $\theta'$, its kernel tends to the one there,
# and at least as fast as $\theta$ tends to $\theta'$. Below, both sides stand between two vectors
# $x$ and $y$, any two.


# %%
def between(entry):
    """x^T M y for a matrix given by its entries."""
    return total(r, lambda x: total(r, lambda y: G[x] * entry(x, y) * G2[y]))


def against(left):
    """The product of a matrix of features with x, entry by entry of the parameters."""
    return lambda p: total(r, lambda x: left(x, p))


difference = between(
    lambda x, y: total(M, lambda p: Phi[x, p] * Phi[y, p]) - total(M, lambda p: U[x, p] * U[y, p])
)
first = against(lambda x, p: G[x] * (Phi[x, p] - U[x, p]))
second = against(lambda y, p: G2[y] * (Phi[y, p] - U[y, p]))
in_parts = total(
    M,
    lambda p: (
        first(p) * against(lambda y, p: G2[y] * Phi[y, p])(p)
        + against(lambda x, p: G[x] * U[x, p])(p) * second(p)
    ),
)

# %% [markdown]
# ## Eqs. 59, 60 and 62
#
# With $\rho$ for a column of a canonical kernel $K(S_i, \cdot)$ and $\psi$ for that of
# $K_{\theta^t}(S_i, \cdot)$, Eq. 60 is Eq. 59 with both sums on one side.
#
# Eq. 62 says what the remainder is small against: the velocity of the parameters, which is Eq. 61.
# Its size is
#
# $$\Big|\frac{\partial \theta}{\partial t}\Big|^2 = \frac{\eta^2}{r^2} |\Phi^\top g|^2
#   = \frac{\eta^2}{r^2} \, g^\top K_\theta \, g.$$
#
# It vanishes with $g$, and where $g$ lies in
# a null direction of the kernel.
#
# Where the kernel is regular the velocity is of the order of $g$; so is the left of Eq. 60, for
# any $K$. "$o(\partial \theta / \partial t)$" asks for more than that.


# %%
def descent(column):
    """-eta / r times the product of g with a column of a kernel."""
    return -eta / r * total(r, lambda x: G[x] * column(x))


def by_parameters(x):
    return total(r, lambda y: -eta / r * G[y] * Phi[y, x])


velocity_squared = total(M, lambda p: by_parameters(p) ** 2)
quadratic_form = total(
    r, lambda x: total(r, lambda y: G[x] * total(M, lambda p: Phi[x, p] * Phi[y, p]) * G[y])
)

# %% [markdown]
# ## The contraction vanishes with $g$, for every $K$
#
# Lagrange's identity,
#
# $$|g|^2 |\Delta|^2 = (g^\top \Delta)^2 + \tfrac12 \sum_{xy} (g_x \Delta_y - g_y \Delta_x)^2,$$
#
# has squares on its right. So $|g^\top \Delta| \le |g| |\Delta|$ for every column
# $\Delta = K - K_{\theta^t}$: as $g$ vanishes, the contraction does, for every $K$ that is bounded.
# It says nothing about which one.

# %%
product = total(r, lambda x: G[x] ** 2) * total(r, lambda x: rho[x] ** 2)
cross = total(r, lambda x: total(r, lambda y: (G[x] * rho[y] - G[y] * rho[x]) ** 2))
squares = total(r, lambda x: G[x] * rho[x]) ** 2 + HALF * cross

# %% [markdown]
# ## How many directions of $g$ it takes
#
# Take $L$ derivatives of the loss, $g_1, \dots, g_L$, from one run or several, and a column
# $\Delta$ of $K - K_\theta$ with $v$ entries. Then
#
# $$\sum_j (g_j^\top \Delta)^2 = \Delta^\top \Big(\sum_j g_j g_j^\top\Big) \Delta.$$
#
# The matrix in the middle is positive semi-definite. If its smallest eigenvalue is $\lambda > 0$,
# which takes as many directions as there are outputs, the right side is at least
# $\lambda |\Delta|^2$, and contractions that are all zero make $\Delta$ zero. With fewer directions
# there is a $\Delta$ that no contraction sees.

# %%
contractions = total(L, lambda j: total(v, lambda x: G[j, x] * D[x]) ** 2)
middle = total(v, lambda x: total(v, lambda y: D[x] * total(L, lambda j: G[j, x] * G[j, y]) * D[y]))

# %% [markdown]
# ## What the start leaves in the limit
#
# Every loss moves the weights along $D^Q = -\sum G_{jc} \, \partial f_{jc} / \partial W^Q$, and so
# on; sums over sequences are more of the same. Then
#
# $$\frac{d}{dt} \, W^{Q\top} W^Q = \frac{d}{dt} \, W^{K\top} W^K :$$
#
# the matrix $C = W^{Q\top} W^Q - W^{K\top} W^K$ keeps the value of the start. (The outputs do not
# change along $W^Q X$, $-W^K X^\top$, see `gauge.py`; what they do not see, the flow conserves.)
# Below, both sides are multiplied entry by entry with any matrix $X$ and added up.
#
# With $d = d_k = 1$ the kernel's query and key parts are, up to factors that the function alone
# determines, $k^2$ and $q^2$. From $C = q^2 - k^2$ and the product $p = q k$,
# $q^2 + k^2 = \sqrt{C^2 + 4 p^2}$: of two starts that end in one function, with different $C^2$,
# the kernels differ for ever. (Below, $u$ stands for $q$ and $w$ for $k$.)


# %%
def flowing(expr, W):
    """The derivative of an expression in W along gradient flow."""

    def velocity(entry):
        return -total(
            L, lambda row: total(v, lambda column: G[row, column] * slope(row, column, entry))
        )

    def slope(row, column, entry):
        return derivative(output(j, c, mask=True), entry).xreplace({j: row, c: column})

    return over_entries(W, lambda entry: derivative(expr, entry) * velocity(entry))


def gram(W):
    """Sum of X * (W^T W), entry by entry."""
    return total(
        d_k,
        lambda x: total(d_k, lambda y: X[x, y] * total(d, lambda a: W[a, x] * W[a, y])),
    )


# %% [markdown]
# ## Balanced starts
#
# The kernel sees $W^Q$ and $W^K$ through $M = W^Q W^{K\top}$, which the function needs as well, and
# through $W^Q W^{Q\top}$ and $W^K W^{K\top}$ (see `infinite_width.py`). And
#
# $$(W^Q W^{Q\top})^2 = M M^\top + W^Q C W^{Q\top}, \qquad
#   (W^K W^{K\top})^2 = M^\top M - W^K C W^{K\top}.$$
#
# If the start is balanced, $C = 0$, then it stays so, and the two are the positive semi-definite
# roots of $M M^\top$ and $M^\top M$. There the kernel is a function of $M$ and $W^V$: runs from
# balanced starts that end in one $M$ and one $W^V$ end in one kernel. Below, entry by entry times
# any matrix $R$.


# %%
def rows(W, x, y):
    """Entry x, y of W W^T."""
    return total(d_k, lambda i: W[x, i] * W[y, i])


def product_of(x, y):
    """Entry x, y of M."""
    return total(d_k, lambda i: W_Q[x, i] * W_K[y, i])


def conserved(x, y):
    """Entry x, y of C."""
    return total(d, lambda a: W_Q[a, x] * W_Q[a, y]) - total(d, lambda a: W_K[a, x] * W_K[a, y])


def weighed(entry):
    return total(d, lambda x: total(d, lambda y: R[x, y] * entry(x, y)))


def squared(W):
    return weighed(lambda x, y: total(d, lambda z: rows(W, x, z) * rows(W, z, y)))


def rest(W, x, y):
    """Entry x, y of W C W^T."""
    return total(d_k, lambda i: total(d_k, lambda e: W[x, i] * conserved(i, e) * W[y, e]))


queries_squared = weighed(
    lambda x, y: total(d, lambda z: product_of(x, z) * product_of(y, z)) + rest(W_Q, x, y)
)
keys_squared = weighed(
    lambda x, y: total(d, lambda z: product_of(z, x) * product_of(z, y)) - rest(W_K, x, y)
)

# %% [markdown]
# ## Where the derivative of the loss does vanish
#
# A convex loss whose derivative is Lipschitz with the constant $\tau$ lies below a parabola:
# $\ell(f + h) \le \ell(f) + \langle g, h \rangle + \tfrac{\tau}{2} |h|^2$. At $h = -g / \tau$ the
# parabola stands at $\ell(f) - |g|^2 / (2 \tau)$, and the least value of the loss cannot be above
# that:
#
# $$|g|^2 \le 2 \tau (\ell(f) - \inf \ell).$$
#
# So $g$ vanishes where the loss tends to its least value as a function of the outputs. Along
# gradient flow that is something to be shown: parameters need not reach it.

# %%
parabola = total(r, lambda x: G[x] * (-G[x] / tau)) + tau / 2 * total(
    r, lambda x: (-G[x] / tau) ** 2
)
lowest = -total(r, lambda x: G[x] ** 2) / (2 * tau)

# %% [markdown]
# ## Convex in the outputs
#
# For half the squared distance from a target $y$, at $f$, at $f + \delta$ and half way:
#
# $$\tfrac12 [\ell(f) + \ell(f + \delta)] - \ell(f + \tfrac12 \delta) = \tfrac18 |\delta|^2 \ge 0.$$


# %%
def squared_error(move):
    return HALF * total(v, lambda x: (F[x] + move * D[x] - Y[x]) ** 2)


mean = HALF * (squared_error(Integer(0)) + squared_error(Integer(1)))
half_way = squared_error(HALF) + Rational(1, 8) * total(v, lambda x: D[x] ** 2)

# %%
IDENTITIES = [
    ("difference of two kernels", difference, in_parts),
    (
        "(60) from (59)",
        descent(lambda x: rho[x]) - descent(lambda x: psi[x]),
        descent(lambda x: rho[x] - psi[x]),
    ),
    ("(62) size of the velocity", velocity_squared, eta**2 / r**2 * quadratic_form),
    ("contraction: Lagrange's identity", product, squares),
    ("directions: contractions with one column", contractions, middle),
    ("conserved along gradient flow", flowing(gram(W_Q), W_Q), flowing(gram(W_K), W_K)),
    ("one feature: queries and keys", (u**2 + w**2) ** 2, (u**2 - w**2) ** 2 + 4 * (u * w) ** 2),
    ("balanced: queries", squared(W_Q), queries_squared),
    ("balanced: keys", squared(W_K), keys_squared),
    ("loss derivative: lowest point of a parabola", parabola, lowest),
    ("convex in outputs: half way", mean, half_way),
]

if __name__ == "__main__":
    report(IDENTITIES)
