# %% [markdown]
# # Choosing sequences (Section 4.3, Eqs. 20 and 21, Algorithm 1)
#
# ## A choice by a threshold
#
# Of $r$ sequences with scores $a_n$, take the $m$ with the largest, and call the least of these
# $\kappa$. For any choice $\psi$ (entries 1 where chosen, 0 elsewhere, $m$ of them 1),
#
# $$\sum_n \psi_n a_n = \kappa \sum_n \psi_n + \sum_n \psi_n (a_n - \kappa).$$
#
# The first sum is $m \kappa$ for every choice. In the second, a choice does best to take all $a_n >
# \kappa$ and none below: that is the choice by largest scores, and every best choice is of this
# kind. The squared Frobenius norm of stacked rows is a sum of scores, those of single sequences,
# so Eqs. 20 and 21 are choices by a threshold.

# %%
from sympy import KroneckerDelta, Rational

from ntteach.symbols import (
    G2,
    G,
    Lam,
    M,
    Phi,
    U,
    alpha,
    chi,
    derivative,
    eta,
    gamma,
    kappa,
    lam,
    mu,
    n,
    psi,
    r,
    report,
    rho,
    t,
    tau,
    total,
    u,
    w,
    z,
)

HALF = Rational(1, 2)


def over_sequences(summand):
    return total(r, summand)


def square(x):
    """The squared norm of a list of numbers, one for each sequence."""
    return over_sequences(lambda y: x(y) ** 2)


def dot(x, y):
    return over_sequences(lambda k: x(k) * y(k))


THRESHOLD = [
    (
        "threshold: any score",
        dot(lambda x: psi[x], lambda x: G[x]),
        kappa * over_sequences(lambda x: psi[x])
        + over_sequences(lambda x: psi[x] * (G[x] - kappa)),
    ),
    (
        "threshold: norms of stacked rows",
        total(r, lambda x: psi[x] * total(M, lambda y: Phi[x, y] ** 2)),
        kappa * over_sequences(lambda x: psi[x])
        + over_sequences(lambda x: psi[x] * (total(M, lambda y: Phi[x, y] ** 2) - kappa)),
    ),
]

# %% [markdown]
# ## Gradients and residuals
#
# For half the squared distance from the targets $f^*$, the derivative by an output is the residual
# of that output, so both choices are one and the same.

# %%
SQUARED = [
    (
        "squared loss: the gradient is the residual",
        derivative(HALF * (alpha[n] - rho[n]) ** 2, alpha[n]),
        alpha[n] - rho[n],
    ),
]

# %% [markdown]
# A scalar loss that is convex in its residual and least at $0$ has a derivative that increases:
# $(g_s - g_r)(s - r) \ge 0$, and $g_r r \ge 0$, $g_s s \ge 0$ against $0$. For $s > r > 0$
#
# $$r s (s - r) (g_s^2 - g_r^2)
#   = \big[(g_s - g_r)(s - r)\big]\,\big[r\, (g_s s) + s\, (g_r r)\big],$$
#
# and both brackets are not negative: the larger residual has the larger derivative, or an equal
# one. Below, $r$ is $t$ with derivative $w$, and $s$ is $u$ with derivative $\kappa$. (For
# negative residuals turn the axis around.)
#
# For a loss of several outputs, go from $f^*$ along a direction $\rho$, with gradient $G$ at
# $f^* + t \rho$ and $G'$ at $f^* + u \rho$. What convexity says of the two points is about the
# slope *along the direction* only,
#
# $$\langle G' - G, (u - t) \rho \rangle = (u - t) (\langle G', \rho \rangle - \langle G, \rho
# \rangle) \ge 0.$$

# %%
ALONG = [
    (
        "one output: larger residual, larger derivative",
        t * u * (u - t) * (kappa**2 - w**2),
        ((kappa - w) * (u - t)) * (t * (kappa * u) + u * (w * t)),
    ),
    (
        "along a line: the slope grows",
        over_sequences(lambda x: (G2[x] - G[x]) * (u * rho[x] - t * rho[x])),
        (u - t) * (dot(lambda x: G2[x], lambda x: rho[x]) - dot(lambda x: G[x], lambda x: rho[x])),
    ),
]

# %% [markdown]
# ## What strong convexity gives
#
# A loss least at $f^*$ and strongly convex with $\mu$ has $\langle G, \rho \rangle \ge \mu
# |\rho|^2$ for $\rho = f - f^*$. By Lagrange's identity
#
# $$|G|^2 |\rho|^2 - \mu^2 |\rho|^4 = \tfrac12 \sum_{xy} (G_x \rho_y - G_y \rho_x)^2
#   + (\langle G, \rho \rangle - \mu |\rho|^2)(\langle G, \rho \rangle + \mu |\rho|^2) \ge 0,$$
#
# that is $|G| \ge \mu |\rho|$; smoothness is $|G| \le \tau |\rho|$. So if a choice $\chi$ has no
# smaller residuals than a choice $\psi$, its gradients are at least $\mu / \tau$ of the other's:
# in the last identity, each of the three terms is not negative.


# %%
def lagrange(x, y):
    """Half the sum of (x_a y_b - x_b y_a)^2."""
    return HALF * total(r, lambda a: total(r, lambda b: (x(a) * y(b) - x(b) * y(a)) ** 2))


def gradient(x):
    return G[x]


def residual(x):
    return rho[x]


CONVEXITY = [
    (
        "strong convexity: |G| >= mu |rho|",
        square(gradient) * square(residual) - mu**2 * square(residual) ** 2,
        lagrange(gradient, residual)
        + (dot(gradient, residual) - mu * square(residual))
        * (dot(gradient, residual) + mu * square(residual)),
    ),
    (
        "strong convexity: two choices",
        tau**2 * over_sequences(lambda x: chi[x] * G[x] ** 2)
        - mu**2 * over_sequences(lambda x: psi[x] * G[x] ** 2),
        tau**2 * over_sequences(lambda x: chi[x] * (G[x] ** 2 - mu**2 * rho[x] ** 2))
        + mu**2 * tau**2 * over_sequences(lambda x: (chi[x] - psi[x]) * rho[x] ** 2)
        + mu**2 * over_sequences(lambda x: psi[x] * (tau**2 * rho[x] ** 2 - G[x] ** 2)),
    ),
]

# %% [markdown]
# ## The norm of the functional gradient
#
# The functional gradient of chosen sequences is $\sum_x G_x K_x$ with $G_x = 0$ for those not
# chosen, and its squared norm is $G^\top K G$. Let $\lambda$ and $\Lambda$ be the least and the
# largest eigenvalue of $K$. Then $K - \lambda 1$ is $U U^\top$ for some $U$, $\Lambda 1 - K$ is
# $U U^\top$ for some other $U$, and
#
# $$G^\top K G = \lambda |G|^2 + |U^\top G|^2, \qquad
#   G^\top K G = \Lambda |G|^2 - |U^\top G|^2.$$
#
# So a choice by $|G|$ misses at most the factor $\lambda / \Lambda$, and for $K = \lambda 1$
# nothing.


# %%
def gram(x, y):
    return total(M, lambda k: Phi[x, k] * Phi[y, k])


def rest(x, y):
    """Entry x, y of U U^T."""
    return total(M, lambda k: U[x, k] * U[y, k])


def above(x, y):
    """lambda 1 + U U^T."""
    return lam * KroneckerDelta(x, y) + rest(x, y)


def below(x, y):
    """Lambda 1 - U U^T."""
    return Lam * KroneckerDelta(x, y) - rest(x, y)


def form(x, kernel, y):
    return total(r, lambda a: total(r, lambda b: x(a) * kernel(a, b) * y(b)))


def features(x):
    """The squared norm of U^T x."""
    return total(M, lambda k: over_sequences(lambda y: U[y, k] * x(y)) ** 2)


NORM = [
    (
        "kernel above a multiple of the identity",
        form(gradient, above, gradient),
        lam * square(gradient) + features(gradient),
    ),
    (
        "kernel below a multiple of the identity",
        form(gradient, below, gradient),
        Lam * square(gradient) - features(gradient),
    ),
]

# %% [markdown]
# ## One step, seen from the target
#
# Write $f - f^*$ in coordinates: it is $z$, and the kernel's section at output $x$ is $\phi_x$, so
# that the residuals are $\rho_x = \langle \phi_x, z \rangle$ and $K_{xy} = \langle \phi_x, \phi_y
# \rangle$. A step of functional gradient descent on chosen outputs ($G_x = 0$ elsewhere; $\eta$
# holds the division by their number) takes $z$ to $z - \eta \sum_x G_x \phi_x$, and
#
# $$|z - \eta \textstyle\sum_x G_x \phi_x|^2
#   = |z|^2 - 2 \eta \langle G, \rho \rangle + \eta^2 G^\top K G.$$
#
# A convex loss of each output that is least at $f^*$ and smooth with $\tau$ has a gradient with the
# sign of the residual and $|G_x| \le \tau |\rho_x|$, so that $G_x \rho_x \ge G_x^2 / \tau$; and
# $G^\top K G \le \Lambda |G|^2$ with $\Lambda$ the largest eigenvalue of the kernel *of the
# chosen*. So the squared distance from $f^*$ falls at least by $\eta (2 / \tau -
# \eta \Lambda) |G|^2$. With one $\Lambda$ for all choices of a size, as $m \gamma$ is, this grows
# with $|G|$, the score of Eq. 20; with that of each choice, one whose sections agree less may be
# promised more.


# %%
def residual_of(x):
    return total(M, lambda k: Phi[x, k] * z[k])


def pushed(k):
    """Coordinate k of sum_x G_x phi_x."""
    return over_sequences(lambda x: G[x] * Phi[x, k])


distance = total(M, lambda k: z[k] ** 2)
after = total(M, lambda k: (z[k] - eta * pushed(k)) ** 2)
norm_of_push = total(M, lambda k: pushed(k) ** 2)

STEP = [
    (
        "step: the distance from the target",
        after,
        distance - 2 * eta * dot(gradient, residual_of) + eta**2 * form(gradient, gram, gradient),
    ),
    (
        "step: the guaranteed decrease",
        after,
        distance
        - eta * (2 / tau - eta * Lam) * square(gradient)
        - 2 * eta * (dot(gradient, residual_of) - square(gradient) / tau)
        - eta**2 * (Lam * square(gradient) - norm_of_push),
    ),
]

# %% [markdown]
# ## Many steps
#
# For the squared loss and one output $n$ at a time, $G_n = \rho_n$. Let $\gamma$ bound the diagonal
# of $K$ and $\lambda$ be its least eigenvalue, and let $z$ lie in the span of the sections, $z =
# \sum_x \alpha_x \phi_x$ (what is orthogonal to all of them has no residual and never moves). Then
# $\rho = K \alpha$, and with $K = \lambda 1 + U U^\top$
#
# $$|\rho|^2 - \lambda |z|^2 = |K \alpha|^2 - \lambda \alpha^\top K \alpha
#   = \lambda |U^\top \alpha|^2 + |U U^\top \alpha|^2 \ge 0,$$
#
# and if $n$ has the largest residual, $\sum_y (\rho_n^2 - \rho_y^2) \ge 0$. Together: the squared
# distance after the step is at most $1 - \eta (2 - \eta \gamma) \lambda / r$ of what it was.
#
# With $m$ chosen by Eq. 21 and a step $\eta / m$, the same holds: the chosen have at least their
# share of the squares, $r \sum_x \chi_x \rho_x^2 - m |\rho|^2 = \sum_{xy} \chi_x (1 - \chi_y)
# (\rho_x^2 - \rho_y^2) \ge 0$, and $\Lambda$, at most the trace of $m$ diagonal entries, is at most
# $m \gamma$: the decrease $\frac{\eta}{m} (2 - \frac{\eta}{m} \Lambda) |\rho_A|^2$ is at least
# $\eta (2 - \eta \gamma) |\rho|^2 / r$.

# %%
coefficient = alpha.__getitem__


def single(k):
    """Coordinate k after the step on output n."""
    return z[k] - eta * residual_of(n) * Phi[n, k]


one_after = total(M, lambda k: single(k) ** 2)

CONVERGENCE = [
    (
        "one output: the distance from the target",
        one_after,
        distance - eta * (2 - eta * gram(n, n)) * residual_of(n) ** 2,
    ),
    (
        "one output: the rate",
        (1 - eta * (2 - eta * gamma) * lam / r) * distance - one_after,
        eta
        * (2 - eta * gamma)
        / r
        * (
            over_sequences(lambda y: residual_of(n) ** 2 - residual_of(y) ** 2)
            + (square(residual_of) - lam * distance)
        )
        + eta**2 * (gamma - gram(n, n)) * residual_of(n) ** 2,
    ),
    (
        "chosen outputs have their share",
        r * over_sequences(lambda x: chi[x] * rho[x] ** 2)
        - over_sequences(lambda x: chi[x]) * square(residual),
        total(r, lambda x: total(r, lambda y: chi[x] * (1 - chi[y]) * rho[x] ** 2))
        - total(r, lambda x: total(r, lambda y: chi[x] * (1 - chi[y]) * rho[y] ** 2)),
    ),
    (
        "residuals see the distance",
        total(r, lambda x: total(r, lambda y: above(x, y) * alpha[y]) ** 2)
        - lam * form(coefficient, above, coefficient),
        lam * features(coefficient)
        + total(r, lambda x: total(r, lambda y: rest(x, y) * alpha[y]) ** 2),
    ),
]

# %% [markdown]
# ## What a subset step does to the loss of all
#
# Chosen outputs have $\chi_x = 1$. With a flow along the chosen, $\dot f = -\eta K (\chi G)$, the
# summed loss of all falls at the rate $\eta\, G^\top K (\chi G)$. With $A$ the kernel of the chosen
# and $B$ the block between the rest and the chosen, this is $\eta\, (G_A^\top A G_A + G_R^\top B
# G_A)$. The first term is at least $\lambda |G_A|^2$; the second is at least $-|G_R| |B G_A|$ by
# Lagrange's identity. So the loss of all falls to first order if $\lambda_{\min}(A) |G_A| > \|B\|
# |G_R|$. Among choices of one size, that of Eq. 20 makes $|G_A| / |G_R|$ largest; $A$ and $B$
# depend on the choice as well.
#
# The rate is a sum over the chosen, $\sum_y \chi_y\, G_y (K G)_y$. So the choice that lowers the
# loss of all fastest is the one by the scores $G_y (K G)_y$, a choice by a threshold again.


# %%
def taken(x):
    return chi[x] * G[x]


def left(x):
    return (1 - chi[x]) * G[x]


def influence(y):
    """(K G)_y."""
    return over_sequences(lambda x: gram(x, y) * G[x])


def move(x):
    """What a step on the chosen adds to output x."""
    return -eta * over_sequences(lambda y: gram(x, y) * chi[y] * rho[y])


SUBSET = [
    (
        "subset: the rate in two parts",
        form(gradient, gram, taken),
        form(taken, gram, taken) + form(left, gram, taken),
    ),
    (
        "subset: Lagrange's identity",
        square(residual) * square(gradient) - dot(residual, gradient) ** 2,
        lagrange(residual, gradient),
    ),
    (
        "subset: the largest share of the gradient",
        over_sequences(lambda x: chi[x] * G[x] ** 2)
        * over_sequences(lambda x: (1 - psi[x]) * G[x] ** 2)
        - over_sequences(lambda x: psi[x] * G[x] ** 2)
        * over_sequences(lambda x: (1 - chi[x]) * G[x] ** 2),
        over_sequences(lambda x: (chi[x] - psi[x]) * G[x] ** 2) * square(gradient),
    ),
    (
        "subset: a step on the squared loss",
        HALF * square(lambda x: rho[x] + move(x)) - HALF * square(residual),
        over_sequences(lambda x: rho[x] * move(x)) + HALF * square(move),
    ),
    (
        "subset: the rate is a sum over the chosen",
        form(gradient, gram, lambda x: psi[x] * G[x]),
        kappa * over_sequences(lambda x: psi[x])
        + over_sequences(lambda y: psi[y] * (G[y] * influence(y) - kappa)),
    ),
]

# %% [markdown]
# ## Algorithm 1 stops
#
# Its loop runs for $t = 0, \dots, T$ at most. With $\chi_t = 1$ for the values of $t$ at which the
# test is passed and a step is made, and $r = T + 1$ values in all, what is left over is a sum of
# terms that are 0 or 1.

# %%
STOPS = [
    (
        "loop: steps among the values of its counter",
        r - over_sequences(lambda x: chi[x]),
        over_sequences(lambda x: 1 - chi[x]),
    ),
]

# %% [markdown]
# ## Losses as scores, and a temperature
#
# Where the loss of a sequence is half the sum of the squares of its residuals, a choice by a
# threshold on losses is one on squared norms, that of Eq. 21.
#
# A soft choice takes the largest of perturbed scores: here $t$ and $u$ are the scores of two
# sequences, $w$ and $\kappa$ their noise. If a temperature $\tau > 0$ divides score and noise, the
# difference of two keys is divided by $\tau$ and keeps its sign: no temperature changes a choice.
# If it divides the score alone, scores count for the more the lower it is.

# %%
SCORES = [
    (
        "losses: a choice by half the squared norms",
        total(r, lambda x: psi[x] * total(M, lambda y: HALF * Phi[x, y] ** 2)),
        HALF * total(r, lambda x: psi[x] * total(M, lambda y: Phi[x, y] ** 2)),
    ),
    (
        "temperature: on score and noise",
        (t + w) / tau - (u + kappa) / tau,
        ((t + w) - (u + kappa)) / tau,
    ),
    (
        "temperature: on the score alone",
        tau * ((t / tau + w) - (u / tau + kappa)),
        (t - u) - tau * (kappa - w),
    ),
]

# %%
IDENTITIES = [
    *THRESHOLD,
    *SQUARED,
    *ALONG,
    *CONVEXITY,
    *NORM,
    *STEP,
    *CONVERGENCE,
    *SUBSET,
    *STOPS,
    *SCORES,
]

if __name__ == "__main__":
    report(IDENTITIES)
