# %% [markdown]
# # How fast the loss falls (Proposition 4, Eqs. 19 and 64-74)
#
# Let there be $n$ outputs in all (the symbol $r$ below), with losses $\ell_i(f_i)$, their
# derivatives $g_i = \ell_i'(f_i)$, the loss $\mathcal L = \frac1n \sum_i \ell_i$ and the Gram
# matrix $K = \Phi \Phi^\top$ of the kernel, which every positive semi-definite $K$ is. Put
# $\bar K = K / n$. One step of functional gradient descent is
#
# $$w = f^{t+1} - f^t = -\eta\, \bar K g.$$
#
# Wherever an inequality is proved, one side less the other is written as a sum of which every
# addend has a sign: squares, or squares times a number that a hypothesis gives a sign.

# %%
from sympy import Integer, KroneckerDelta, Rational, exp

from ntteach.symbols import (
    G2,
    G,
    Lam,
    M,
    Phi,
    U,
    derivative,
    eta,
    gamma,
    kappa,
    lam,
    mu,
    n,
    nu,
    r,
    report,
    t,
    tau,
    total,
    v,
    xi,
    z,
)

HALF, QUARTER = Rational(1, 2), Rational(1, 4)


def over_outputs(summand):
    return total(r, summand)


def Kbar(i, j):
    """An entry of K / n."""
    return total(M, lambda p: Phi[i, p] * Phi[j, p]) / r


def form(x, y):
    """x^T Kbar y, for vectors given as functions of an index."""
    return over_outputs(lambda i: over_outputs(lambda j: x(i) * Kbar(i, j) * y(j)))


def feature(x, p):
    """Entry p of Phi^T x."""
    return over_outputs(lambda i: x(i) * Phi[i, p])


def g(i):
    """The derivative of the loss of output i at step t."""
    return G[i]


def g_next(i):
    """The same one step later."""
    return G2[i]


def step(i):
    """w_i = -eta (Kbar g)_i."""
    return -eta * over_outputs(lambda j: Kbar(i, j) * G[j])


def squares(x):
    """|Phi^T x|^2."""
    return total(M, lambda p: feature(x, p) ** 2)


# %% [markdown]
# ## The exact rate
#
# Under the flow $\partial f / \partial t = -\eta \bar K g$ the chain rule gives
# $d \mathcal L / dt = \frac1n \sum_i g_i \, \partial f_i / \partial t$, which is
#
# $$\frac{d \mathcal L}{dt} = -\frac{\eta}{n^2}\, g^\top K g
#   = -\frac{\eta}{n^2}\, |\Phi^\top g|^2 \le 0.$$
#
# Below, once for any loss by the chain rule, and once for the squared loss differentiated by $t$,
# where $G$ holds the residuals.

# %%
squared_loss_along = over_outputs(lambda i: HALF * (G[i] + t * step(i)) ** 2) / r
RATE = [
    (
        "(19) exact rate, by the chain rule",
        over_outputs(lambda i: g(i) * step(i)) / r,
        -eta / r**2 * squares(g),
    ),
    (
        "(19) exact rate, the squared loss differentiated",
        derivative(squared_loss_along, t).xreplace({t: Integer(0)}),
        -eta / r**2 * squares(g),
    ),
]

# %% [markdown]
# ## The paper's proof, step by step
#
# **(64)** $\partial_t \mathcal L \le \Xi = \langle g^{t+1}, w \rangle / n$. Convexity gives it for
# differences and for derivatives. For a convex loss with curvature, or secant slope,
# $\xi_i \ge 0$ between the two steps, what is left over is a sum of $\xi_i w_i^2$. Below, for
# derivatives $g^{t+1} = g^t + \xi w$; for differences with the loss $\frac12 \xi_i f_i^2$, where
# $G$ stands for the outputs and $G'$ for any step.
#
# **(65)** $\Xi = -\frac{\eta}{n} g^{t\top} \bar K g^{t+1}$: inner products in the RKHS are those
# of features. **(66)** and **(67)** rearrange, with $K$ symmetric.
#
# **(68)** drops a square: what it drops is $\frac\eta n$ times
# $(g^{t+1} - \frac12 g^t)^\top \bar K (g^{t+1} - \frac12 g^t) \ge 0$.
#
# **(69)** has an inequality, which is false (it is made of $|u_i| \le \tau |w_i|$ entry by entry),
# and an equality, $\tau^2 w^\top \bar K w = \eta^2 \tau^2 g^\top \bar K \bar K \bar K g$.
#
# **(70)**-**(73)** are false. **(74)** puts $\eta \le 1 / (2 \tau \gamma)$ into the last: with
# $x = \eta \tau \gamma$ the two sides differ by $(\frac12 - x)(\frac12 + x)$ times a square.


# %%
def difference(i):
    return g_next(i) - g(i)


def turned(i):
    """The bracket of Eq. 66, g^(t+1) - g^t - g^(t+1)."""
    return g_next(i) - g(i) - g_next(i)


def less_half(i):
    return g_next(i) - HALF * g(i)


def secant(i):
    """g^(t+1) where xi_i is the slope between the two steps."""
    return G[i] + xi[i] * step(i)


Xi = -eta / r * form(g, g_next)
bracket = form(turned, difference)
upper = -Rational(3, 4) * eta / r * form(g, g) + eta / r * form(difference, difference)
quadratic_change = over_outputs(lambda i: HALF * xi[i] * ((G[i] + G2[i]) ** 2 - G[i] ** 2)) / r

PROOF = [
    (
        "(64) derivatives: what convexity leaves over",
        over_outputs(lambda i: secant(i) * step(i)) / r,
        over_outputs(lambda i: g(i) * step(i)) / r
        + over_outputs(lambda i: xi[i] * step(i) ** 2) / r,
    ),
    (
        "(64) differences: what convexity leaves over",
        over_outputs(lambda i: xi[i] * (G[i] + G2[i]) * G2[i]) / r,
        quadratic_change + over_outputs(lambda i: HALF * xi[i] * G2[i] ** 2) / r,
    ),
    (
        "(65) the inner product in the RKHS",
        total(M, lambda p: feature(g_next, p) / r * (-eta / r) * feature(g, p)),
        Xi,
    ),
    ("(66) rearranged", Xi, -eta / r * form(g, g) + eta / r * bracket),
    (
        "(67) expanded",
        bracket,
        form(difference, difference) - form(less_half, less_half) + QUARTER * form(g, g),
    ),
    ("(68) what is dropped is a square", upper, Xi + eta / r**2 * squares(less_half)),
    (
        "(69) the last equality",
        tau**2 * form(step, step),
        eta**2
        * tau**2
        * over_outputs(
            lambda i: over_outputs(
                lambda j: over_outputs(
                    lambda m: over_outputs(
                        lambda n: G[i] * Kbar(i, j) * Kbar(j, m) * Kbar(m, n) * G[n]
                    )
                )
            )
        ),
    ),
    (
        "(74) two sides differ by a product with a sign",
        -eta * gamma * (Rational(3, 4) - (eta * tau * gamma) ** 2) * t**2,
        -HALF * eta * gamma * t**2
        - eta * gamma * t**2 * (HALF - eta * tau * gamma) * (HALF + eta * tau * gamma),
    ),
]

# %% [markdown]
# ## Steps that hold instead
#
# In an orthonormal basis of eigenvectors, $\bar K_{ij} = \sum_p U_{ip} \nu_p U_{jp}$ with
# $\nu_p \ge 0$, and $h_p = \sum_i U_{ip} g_i$. Then
#
# $$g^\top \bar K g = \sum_p \nu_p h_p^2, \qquad |\bar K g|^2 = \sum_p \nu_p^2 h_p^2,
#   \qquad |g|^2 \ge \sum_p h_p^2,$$
#
# the second by $\sum_i U_{ip} U_{iq} = \delta_{pq}$, the third an equality if there are $n$
# eigenvectors. With $\Lambda$ the largest $\nu_p$ and $\lambda$ the smallest of $n$:
#
# - $u^\top \bar K u \le \Lambda |u|^2$, so with $|u_i| \le \tau |w_i|$ entry by entry
#   $u^\top \bar K u \le \Lambda \tau^2 |w|^2$, in place of (69);
# - $g^\top \bar K g \le \Lambda |g|^2$ in place of (70), which would not help: what the proof
#   needs is a bound from below, $g^\top \bar K g \ge \lambda |g|^2$;
# - $|w|^2 = \eta^2 |\bar K g|^2 \le \eta^2 \Lambda\, g^\top \bar K g$, in place of (71).
#
# In $\Xi \le -\frac{3 \eta}{4 n} ① + \frac\eta n ②$ this gives $② \le (\eta \tau \Lambda)^2 ①$
# and, with $x = \eta \tau \Lambda \le \frac12$,
#
# $$\Xi \le -\frac{\eta}{n} \Big(\frac34 - x^2\Big)\, g^\top \bar K g
#   \le -\frac{\eta}{2n}\, g^\top \bar K g.$$


# %%
def coordinate(x, p):
    """<U_p, x>."""
    return over_outputs(lambda i: U[i, p] * x(i))


def modes(weight):
    """Sum_p weight(p) h_p^2."""
    return total(M, lambda p: weight(p) * coordinate(g, p) ** 2)


def spectral(i, j):
    """An entry of Kbar by its eigenvectors."""
    return total(M, lambda p: U[i, p] * nu[p] * U[j, p])


spectral_form = over_outputs(lambda i: over_outputs(lambda j: g(i) * spectral(i, j) * g(j)))


def orthonormal(weight):
    """Sum_pq weight(p) weight(q) h_p h_q Sum_i U_ip U_iq, with a delta for the last sum."""
    return total(
        M,
        lambda p: total(
            M,
            lambda q: (
                KroneckerDelta(p, q) * weight(p) * weight(q) * coordinate(g, p) * coordinate(g, q)
            ),
        ),
    )


def eigenvalue(p):
    return nu[p]


norm_of_step = orthonormal(eigenvalue)  # |Kbar g|^2
STEPS = [
    ("modes: the form", spectral_form, modes(eigenvalue)),
    ("modes: the norm of Kbar g", norm_of_step, modes(lambda p: nu[p] ** 2)),
    (
        "(69) repaired: largest eigenvalue",
        Lam * modes(lambda p: Integer(1)),
        spectral_form + modes(lambda p: Lam - nu[p]),
    ),
    (
        "(69) repaired: slopes up to tau",
        tau**2 * over_outputs(lambda i: G[i] ** 2),
        over_outputs(lambda i: (xi[i] * G[i]) ** 2)
        + over_outputs(lambda i: (tau - xi[i]) * (tau + xi[i]) * G[i] ** 2),
    ),
    (
        "(70) repaired: smallest eigenvalue",
        spectral_form,
        lam * modes(lambda p: Integer(1)) + modes(lambda p: nu[p] - lam),
    ),
    (
        "(71) repaired: the step",
        Lam * spectral_form,
        norm_of_step + modes(lambda p: (Lam - nu[p]) * nu[p]),
    ),
    (
        "(72) repaired: three quarters less a square",
        -(Rational(3, 4) - (eta * tau * Lam) ** 2) * spectral_form,
        -HALF * spectral_form - (HALF - eta * tau * Lam) * (HALF + eta * tau * Lam) * spectral_form,
    ),
]

# %% [markdown]
# ## The decrease of one step
#
# For losses that are smooth with $\tau$, Taylor's formula has $\ell_i(f_i + w_i) = \ell_i(f_i) +
# g_i w_i + \frac12 \xi_i w_i^2$ with some $\xi_i \le \tau$. So
#
# $$\mathcal L^{t+1} - \mathcal L^t
#   \le -\frac\eta n\, g^\top \bar K g + \frac{\tau \eta^2}{2 n} |\bar K g|^2
#   \le -\frac\eta n \Big(1 - \frac{\eta \tau \Lambda}{2}\Big)\, g^\top \bar K g,$$
#
# which is $-\frac{\eta}{2n} g^\top \bar K g$ or less if $\eta \le 1 / (\tau \Lambda)$,
# $-\frac{3 \eta}{4 n} g^\top \bar K g$ or less if $\eta \le 1 / (2 \tau \Lambda)$, and below zero
# for $\eta < 2 / (\tau \Lambda)$ wherever $\bar K g \ne 0$.
#
# The paper's $\gamma$ bounds $\Lambda$. For one output per element,
# $\Lambda \le \operatorname{tr} \bar K = \frac1n \sum_i K_{ii} \le \gamma$: the first part is
# Lagrange's identity for each row of $\Phi$, the second compares each addend with $\gamma$. For $v$
# outputs per element $K$ has side $n v$ and is divided by $n$; then $\gamma$ has to bound the
# blocks $K(s, s)$ as matrices, $|\Phi_s h|^2 \le \gamma |h|^2$.


# %%
def h(p):
    return feature(g, p)


trace = over_outputs(lambda i: total(M, lambda p: Phi[i, p] ** 2))
norm_of_K = over_outputs(lambda i: total(M, lambda p: Phi[i, p] * h(p)) ** 2)  # |K g|^2
DECREASE = [
    (
        "decrease: what smoothness leaves over",
        over_outputs(lambda i: g(i) * step(i) + HALF * tau * step(i) ** 2) / r,
        over_outputs(lambda i: g(i) * step(i) + HALF * xi[i] * step(i) ** 2) / r
        + over_outputs(lambda i: HALF * (tau - xi[i]) * step(i) ** 2) / r,
    ),
    (
        "decrease: what the form leaves over",
        -eta / r * (1 - HALF * eta * tau * Lam) * spectral_form,
        -eta / r * spectral_form
        + HALF * tau * eta**2 / r * norm_of_step
        + HALF * tau * eta**2 / r * modes(lambda p: (Lam - nu[p]) * nu[p]),
    ),
    (
        "decrease: half of the rate",
        -HALF * eta / r * spectral_form,
        -eta / r * (1 - HALF * eta * tau * Lam) * spectral_form
        + HALF * eta / r * (1 - eta * tau * Lam) * spectral_form,
    ),
    (
        "decrease: three quarters of the rate",
        -Rational(3, 4) * eta / r * spectral_form,
        -eta / r * (1 - HALF * eta * tau * Lam) * spectral_form
        + HALF * eta / r * (HALF - eta * tau * Lam) * spectral_form,
    ),
]
TRACE = [
    (
        "trace: Lagrange's identity",
        trace * squares(g),
        norm_of_K
        + HALF
        * over_outputs(
            lambda i: total(
                M, lambda p: total(M, lambda q: (Phi[i, p] * h(q) - Phi[i, q] * h(p)) ** 2)
            )
        ),
    ),
    (
        "trace: diagonal entries up to gamma",
        gamma,
        over_outputs(lambda i: Kbar(i, i))
        + over_outputs(lambda i: gamma - total(M, lambda p: Phi[i, p] ** 2)) / r,
    ),
    (
        "blocks: norms up to gamma",
        gamma * r * total(M, lambda p: z[p] ** 2),
        over_outputs(lambda i: total(v, lambda c: total(M, lambda p: Phi[i, c, p] * z[p]) ** 2))
        + over_outputs(
            lambda i: (
                gamma * total(M, lambda p: z[p] ** 2)
                - total(v, lambda c: total(M, lambda p: Phi[i, c, p] * z[p]) ** 2)
            )
        ),
    ),
]

# %% [markdown]
# ## A rate, where the kernel is definite
#
# If every $\ell_i$ is strongly convex with $\mu$, then for any two outputs, $y = x + z$,
# $\ell(y) = \ell(x) + g z + \frac\mu2 z^2 + \epsilon$ with $\epsilon \ge 0$. Completing the
# square, $\ell(x) - \ell(y) \le g^2 / (2 \mu)$; so $|g|^2 \ge 2 \mu n (\mathcal L - \mathcal L^*)$,
# and with $\lambda$ the smallest eigenvalue of $K$
#
# $$\frac{d}{dt} (\mathcal L - \mathcal L^*) \le -\frac{\eta \lambda}{n^2} |g|^2
#   \le -\frac{2 \mu \eta \lambda}{n} (\mathcal L - \mathcal L^*), \qquad
#   \mathcal L_t - \mathcal L^* \le e^{-2 \mu \eta \lambda t / n} (\mathcal L_0 - \mathcal L^*).$$
#
# With $\lambda = 0$, which is the normal case for the kernel of a learner, this says nothing.

# %%
STRONG = [
    (
        "strong convexity: the square completed",
        HALF / mu * over_outputs(lambda i: G[i] ** 2),
        over_outputs(lambda i: -G[i] * G2[i] - HALF * mu * G2[i] ** 2)
        + HALF * mu * over_outputs(lambda i: (G2[i] + G[i] / mu) ** 2),
    ),
]

# %% [markdown]
# ## When Eq. 19 does hold
#
# Suppose $K c = \mathbf 1$ for some $c$, and put $s = \mathbf 1^\top c = \mathbf 1^\top K^+
# \mathbf 1$. By Lagrange's identity $(g^\top K c)^2 \le (g^\top K g)(c^\top K c)$, that is
# $(\sum_i g_i)^2 \le s\, g^\top K g$: the rate is at most
#
# $$\frac{d \mathcal L}{dt} \le -\frac{\eta}{s} \Big(\frac1n \sum_i g_i\Big)^2,$$
#
# and it is equal to that for $g = c$. So Eq. 19 holds for every $g$ exactly if
# $\gamma s \le 2$. If $\mathbf 1$ is not in the range of $K$, some $g$ with $K g = 0$ has a sum
# other than zero, and Eq. 19 is violated there. Where the loss is a sum and the flow keeps its
# average, $2$ becomes $2 n$; where both are sums, $2 n^2$.
#
# If all diagonal entries are one and all others $\kappa$, then $K \mathbf 1 = (1 + (n - 1) \kappa)
# \mathbf 1$ and $s = n / (1 + (n - 1) \kappa)$.


# %%
def extremal(i):
    """A vector c, which G2 stands for here."""
    return G2[i]


sum_of_c = over_outputs(extremal)
form_of_c = over_outputs(lambda i: extremal(i) * 1)  # c^T K c, where K c is one
SHARP = [
    (
        "sharp: Lagrange's identity",
        squares(g) * squares(extremal),
        total(M, lambda p: feature(g, p) * feature(extremal, p)) ** 2
        + HALF
        * total(
            M,
            lambda p: total(
                M,
                lambda q: (
                    (feature(g, p) * feature(extremal, q) - feature(g, q) * feature(extremal, p))
                    ** 2
                ),
            ),
        ),
    ),
    (
        "sharp: attained",
        -eta / r**2 * form_of_c,
        -eta / sum_of_c * (sum_of_c / r) ** 2,
    ),
    (
        "sharp: one number off the diagonal",
        over_outputs(
            lambda i: over_outputs(lambda j: G[i] * ((1 - kappa) * KroneckerDelta(i, j) + kappa))
        ),
        (1 + (r - 1) * kappa) * over_outputs(lambda i: G[i]),
    ),
]

# %% [markdown]
# ## Mode by mode
#
# For the squared loss $g$ is the residual $f - y$, and a step is linear in it. Written as
# $\sum_q U_{iq} z_q$ in eigenvectors of $K$ with eigenvalues $\nu_q$, it becomes
# $\sum_q U_{iq} (1 - \eta \nu_q / n) z_q$: each mode by its own factor, so after $t$ steps by the
# factor's power. In continuous time $\sum_q U_{iq} e^{-\eta \nu_q t / n} z_q$ solves the flow.
# As above a delta stands for the inner products of eigenvectors.


# %%
def through_kernel(i, coordinates):
    """(K x)_i for x = Sum_q U_q coordinates(q)."""
    return total(
        M,
        lambda p: U[i, p] * nu[p] * total(M, lambda q: KroneckerDelta(p, q) * coordinates(q)),
    )


def after(q):
    """Coordinate q of the residual at time t."""
    return z[q] * exp(-eta * nu[q] * t / r)


def combined(i, coordinates):
    return total(M, lambda q: U[i, q] * coordinates(q))


MODES = [
    (
        "mode by mode: one step",
        combined(n, lambda q: z[q]) - eta / r * through_kernel(n, lambda q: z[q]),
        combined(n, lambda q: (1 - eta * nu[q] / r) * z[q]),
    ),
    (
        "mode by mode: the flow",
        derivative(combined(n, after), t),
        -eta / r * through_kernel(n, after),
    ),
]

# %%
IDENTITIES = [*RATE, *PROOF, *STEPS, *DECREASE, *TRACE, *STRONG, *SHARP, *MODES]

if __name__ == "__main__":
    report(IDENTITIES)
