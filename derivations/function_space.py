# %% [markdown]
# # Functions of a kernel (Section 3, Appendix A.2, Eqs. 1 and 22)
#
# Take $r$ sequences $S_1, \dots, S_r$, as many as one likes: centres, training sequences and the
# sequences that one looks at, all in one list. On them a symmetric positive semi-definite kernel
# is a Gram matrix, $K(S_m, S_n) = \langle \phi_m, \phi_n \rangle$, with features $\phi$ in some
# $\mathbb R^M$. Functions of the span are lists of coefficients,
#
# $$f = \sum_i \alpha_i K(S_i, \cdot), \qquad g = \sum_j \beta_j K(S_j, \cdot), \qquad
#   \langle f, g \rangle = \sum_{i j} \alpha_i \beta_j K(S_i, S_j).$$
#
# Everything below is for all $r$ and $M$, all coefficients and all features; nothing asks the Gram
# matrix to be regular.

# %%
from sympy import Integer, KroneckerDelta, Rational, exp

from ntteach.symbols import (
    L2,
    S2,
    W_O,
    L,
    M,
    Phi,
    Psi,
    S,
    T,
    Z,
    alpha,
    beta,
    c,
    d,
    derivative,
    j,
    j2,
    kappa,
    n,
    o,
    r,
    report,
    t,
    total,
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


# %% [markdown]
# ## The reproducing property (Eq. 1) and the evaluation functional (Definition 1)
#
# $K_S$ is the function with one coefficient, at $S$. Its inner product with $f$ is $f(S)$.
#
# The inner product is given by coefficients, and a function may have several lists of them. But
# $\langle f, g \rangle = \sum_j \beta_j f(S_j) = \sum_i \alpha_i g(S_i)$: the first sum sees $f$ by
# its values only, the second $g$. So it is one number for two *functions*, for every symmetric
# kernel. And $\langle f, f \rangle = |\sum_i \alpha_i \phi_i|^2$ is not negative. Where it is zero,
# so is $f$, by the inequality of Cauchy and Schwarz, here as Lagrange's identity:
#
# $$\langle f, f \rangle K(S, S) - f(S)^2
#   = \tfrac12 \sum_{p q} (F_p \phi_q - F_q \phi_p)^2 \ge 0, \qquad F = \sum_i \alpha_i \phi_i,$$
#
# with the features $\phi$ of $S$. It says as well that evaluation is bounded,
# $|f(S)| \le K(S, S)^{1/2} |f|$, and $f = K_S$ attains it. So a *semi*-definite kernel is enough.


# %%
def combined(p):
    """F_p."""
    return total(r, lambda x: alpha[x] * Phi[x, p])


def minor(p, q):
    return combined(p) * Phi[n, q] - combined(q) * Phi[n, p]


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


REPRODUCING = [
    ("(1) reproducing property", inner(f, section), function(f, n)),
    (
        "(1) reproducing property, vector-valued",
        inner_of_outputs(
            lambda x, b: alpha[x, b], lambda x, b: KroneckerDelta(x, n) * KroneckerDelta(b, c)
        ),
        function_of_outputs(lambda x, b: alpha[x, b], n, c),
    ),
    (
        "inner product by values of the first",
        total(r, lambda y: beta[y] * function(f, y)),
        inner(f, g),
    ),
    (
        "inner product by values of the second",
        total(r, lambda x: alpha[x] * function(g, x)),
        inner(f, g),
    ),
    ("norm as a square", inner(f, f), total(M, lambda p: combined(p) ** 2)),
    (
        "evaluation is linear",
        function(lambda x: kappa * alpha[x] + w * beta[x], n),
        kappa * function(f, n) + w * function(g, n),
    ),
    (
        "evaluation is bounded",
        inner(f, f) * gram(n, n),
        function(f, n) ** 2 + HALF * total(M, lambda p: total(M, lambda q: minor(p, q) ** 2)),
    ),
    ("bound attained by the section", inner(section, section), gram(n, n)),
]

# %% [markdown]
# ## What makes a kernel
#
# A Gram matrix of features is semi-definite: $\sum_{i j} \alpha_i \alpha_j K_{i j}$ is the square
# above. From kernels others are made, and each time the form is a sum of squares again:
#
# - the product of two kernels, with features $\phi$ and $\psi$;
# - a kernel weighed by a function on both sides, $h(S) K(S, S') h(S')$;
# - a scalar kernel times a semi-definite matrix $B = \Psi \Psi^\top$ on the outputs (separable).
#
# Sums and limits of kernels are kernels, so that polynomials with non-negative coefficients in the
# inner product and its exponential are. The Gaussian kernel is such an exponential, weighed:
#
# $$e^{-\kappa |s - s'|^2} = e^{-\kappa |s|^2}\, e^{2 \kappa \langle s, s' \rangle}\,
#   e^{-\kappa |s'|^2}.$$
#
# A truncated signature kernel sums products of inner products of increments $\phi_i$ and $\psi_j$
# over ordered places; its level two is the inner product of sums over ordered pairs.


# %%
def square_form(kernel):
    """Sum_ij alpha_i alpha_j K_ij."""
    return total(r, lambda x: total(r, lambda y: alpha[x] * alpha[y] * kernel(x, y)))


def second_gram(x, y):
    return total(L2, lambda q: Psi[x, q] * Psi[y, q])


def token(a):
    return S[j, a]


def other_token(a):
    return S2[j2, a]


def dot(x, y):
    return total(d, lambda a: x(a) * y(a))


def ordered(tokens, size, p, q):
    """Sum over places x < y of feature p at x times feature q at y."""
    return total(
        size,
        lambda y: total(y, lambda x: (1 - KroneckerDelta(x, y)) * tokens[x, p] * tokens[y, q]),
    )


def pairs_of_pairs(size, other_size, summand):
    """Sum over x < y of one sequence and z < u of another."""

    def before(x, y):
        return 1 - KroneckerDelta(x, y)

    return total(
        size,
        lambda y: total(
            y,
            lambda x: total(
                other_size,
                lambda u: total(u, lambda z: before(x, y) * before(z, u) * summand(x, y, z, u)),
            ),
        ),
    )


def increments(x, z):
    """The inner product of two increments, rows of S and of S2."""
    return total(d, lambda a: S[x, a] * S2[z, a])


def outputs_matrix(b, e):
    """B = W_O W_O^T, a semi-definite matrix on the outputs."""
    return total(o, lambda q: W_O[b, q] * W_O[e, q])


KERNELS = [
    (
        "kernels: sum of two",
        square_form(lambda x, y: gram(x, y) + second_gram(x, y)),
        total(M, lambda p: combined(p) ** 2)
        + total(L2, lambda q: total(r, lambda x: alpha[x] * Psi[x, q]) ** 2),
    ),
    (
        "kernels: product of two",
        square_form(lambda x, y: gram(x, y) * second_gram(x, y)),
        total(
            M,
            lambda p: total(
                L2, lambda q: total(r, lambda x: alpha[x] * Phi[x, p] * Psi[x, q]) ** 2
            ),
        ),
    ),
    (
        "kernels: weighed by a function",
        square_form(lambda x, y: beta[x] * gram(x, y) * beta[y]),
        total(M, lambda p: total(r, lambda x: alpha[x] * beta[x] * Phi[x, p]) ** 2),
    ),
    (
        "kernels: separable",
        over_outputs(
            lambda x, b: over_outputs(
                lambda y, e: alpha[x, b] * alpha[y, e] * gram(x, y) * outputs_matrix(b, e)
            )
        ),
        total(
            M,
            lambda p: total(
                o, lambda q: over_outputs(lambda x, b: alpha[x, b] * Phi[x, p] * W_O[b, q]) ** 2
            ),
        ),
    ),
    (
        "kernels: Gaussian",
        exp(-kappa * total(d, lambda x: (token(x) - other_token(x)) ** 2)),
        exp(-kappa * dot(token, token))
        * exp(2 * kappa * dot(token, other_token))
        * exp(-kappa * dot(other_token, other_token)),
    ),
    (
        "kernels: signature, level two",
        pairs_of_pairs(L, L2, lambda x, y, z, u: increments(x, z) * increments(y, u)),
        total(d, lambda p: total(d, lambda q: ordered(S, L, p, q) * ordered(S2, L2, p, q))),
    ),
]

# %% [markdown]
# ## The derivative of a functional (Definition 2), of evaluation (Lemma 6), the chain rule (Eq. 22)
#
# The display of Definition 2 is about one direction $g$ at a time: $F(f + t g)$, as a function of
# the number $t$, has the slope $\langle \nabla F, g \rangle$ at $t = 0$. Two functions with these
# slopes are one, as the difference $u$ has $\langle u, g \rangle = 0$ for every $g$, also for
# $g = u$. The functional
#
# $$F(f) = \tfrac12 \langle f, f \rangle + \langle f, h \rangle
#   + \tfrac12 \sum_i w_i f(S_i)^2$$
#
# has all that is quadratic in it. (Below, $h$ has the coefficients $T_i$, and the weights $w_i$
# stand in the column $Z_i$.) Its gradient has the coefficients
# $\alpha_i + T_i + w_i f(S_i)$, and what the first order leaves is $\tfrac12 t^2$ times a form in
# $g$ that does not see $f$. By Cauchy and Schwarz this form is at most
# $(1 + \sum_i |w_i| K(S_i, S_i)) |g|^2$: small uniformly in all directions, which is what Fréchet
# asks and the display does not.
#
# The chain rule is that of one variable, for $G$ as a function of the number $F(f + t g)$. Powers,
# exponentials and quotients are shown here, at every $t$ and not only at zero.


# %%
def values(a, x):
    return function(a, x)


def quadratic(a):
    return (
        HALF * inner(a, a)
        + inner(a, lambda x: T[x])
        + HALF * total(r, lambda x: Z[x] * values(a, x) ** 2)
    )


def quadratic_gradient(a):
    return lambda x: a(x) + T[x] + Z[x] * values(a, x)


def weighed(a):
    """Sum_i w_i f(S_i), a functional that is linear."""
    return total(r, lambda x: Z[x] * values(a, x))


def chain(name, outer, slope):
    """G(F(f + t g)), differentiated by t, and G'(F) <grad F, g>."""
    inside = weighed(along)
    return (
        f"(22) chain rule: {name}",
        derivative(outer(inside), t),
        slope(inside) * inner(lambda x: Z[x], g),
    )


FUNCTIONALS = [
    ("Lemma 6: gradient of evaluation", derivative(function(along, n), t), inner(section, g)),
    (
        "Definition 2: slope of a quadratic functional",
        at_start(derivative(quadratic(along), t)),
        inner(quadratic_gradient(f), g),
    ),
    (
        "Definition 2: remainder of a quadratic functional",
        quadratic(along),
        quadratic(f)
        + t * inner(quadratic_gradient(f), g)
        + HALF * t**2 * (inner(g, g) + total(r, lambda x: Z[x] * values(g, x) ** 2)),
    ),
    chain("square", lambda F: F**2, lambda F: 2 * F),
    chain("cube", lambda F: F**3, lambda F: 3 * F**2),
    chain("exponential", exp, exp),
    chain("reciprocal", lambda F: 1 / F, lambda F: -1 / F**2),
    (
        "(22) chain rule: square of a quadratic functional",
        at_start(derivative(quadratic(along) ** 2, t)),
        2 * quadratic(f) * inner(quadratic_gradient(f), g),
    ),
]

# %%
IDENTITIES = [*REPRODUCING, *KERNELS, *FUNCTIONALS]

if __name__ == "__main__":
    report(IDENTITIES)
