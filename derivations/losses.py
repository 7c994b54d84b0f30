# %% [markdown]
# # How steep a loss can be, and how flat
#
# Proposition 4 asks for a convex loss whose gradient is Lipschitz with a constant $\tau$; Section
# 4.3 speaks of strong convexity. For a loss that is twice differentiable in the outputs $f$, with
# Hessian $H$,
#
# $$g(f) - g(f') = \Big(\int_0^1 H(f' + s (f - f')) \, ds\Big) (f - f'),$$
#
# so that $\mu |D|^2 \le D^\top H(f) D \le \tau |D|^2$ for all $f$ and all directions $D$ gives
# $|g(f) - g(f')| \le \tau |f - f'|$ and
# $\langle g(f) - g(f'), f - f' \rangle \ge \mu |f - f'|^2$, and the best constants are the supremum
# and the infimum of $D^\top H D / |D|^2$. Each inequality is proved here by an identity: what is
# left between its two sides is a sum of squares with weights that are not negative. The left sides
# come from differentiating the loss and nothing else.

# %%
from sympy import KroneckerDelta, Rational, exp, log

from ntteach.symbols import D, F, Y, b, c, derivative, kappa, q, report, t, total, u, v

HALF, QUARTER = Rational(1, 2), Rational(1, 4)

# %% [markdown]
# ## One output
#
# ### Logistic
#
# $\ell(u) = \log(1 + e^{-u})$ with $u = y f$ and $y = \pm 1$, so that $\ell'' $ by $f$ is that by
# $u$. With $\sigma = 1 / (1 + e^{-u})$ the curvature is $\sigma (1 - \sigma)$: positive, and
# $\frac14$ less a square. At $u = 0$ the square is zero, so $\tau = \frac14$ is the best constant.
# As $u \to \infty$ the curvature goes to zero: $\mu = 0$.

# %%
logistic = log(1 + exp(-u))
sigmoid = 1 / (1 + exp(-u))
LOGISTIC = [
    ("logistic: gradient, label 1", logistic.diff(u), -1 / (1 + exp(u))),
    ("logistic: gradient, label -1", logistic.subs(u, -u).diff(u), sigmoid),
    ("logistic: curvature", logistic.diff(u, 2), exp(-u) / (1 + exp(-u)) ** 2),
    (
        "logistic: 1/4 less the curvature is a square",
        QUARTER - logistic.diff(u, 2),
        (sigmoid - HALF) ** 2,
    ),
]

# %% [markdown]
# ### Log-cosh
#
# $\ell(u) = \log \cosh u$ with $u = f - y$. The curvature is $1 / \cosh^2 u$, which is one less
# the square of $\ell' = \tanh u$. At $u = 0$ it is one: $\tau = 1$; far out it goes to zero:
# $\mu = 0$.

# %%
log_cosh = log((exp(u) + exp(-u)) / 2)
tanh = (exp(u) - exp(-u)) / (exp(u) + exp(-u))
LOG_COSH = [
    ("log-cosh: gradient", log_cosh.diff(u), tanh),
    ("log-cosh: curvature", log_cosh.diff(u, 2), 4 / (exp(u) + exp(-u)) ** 2),
    ("log-cosh: 1 less the curvature is a square", 1 - log_cosh.diff(u, 2), tanh**2),
]

# %% [markdown]
# ### Pseudo-Huber
#
# $\ell(x) = \delta^2 (\sqrt{1 + (x / \delta)^2} - 1)$ with $x = f - y$. Put
# $x = \delta (t - 1/t) / 2$ with $t > 0$, which reaches every $x$; then
# $\sqrt{1 + (x / \delta)^2} = (t + 1/t) / 2$. With $s = 2 t / (t^2 + 1)$, which lies in $(0, 1]$,
# the curvature is $s^3$, and $1 - s = (t - 1)^2 / (t^2 + 1)$. So it is positive and at most one,
# which is reached at $t = 1$, that is $x = 0$, and it goes to zero far out. Here $\kappa$ is
# $\delta$.

# %%
residual = kappa * (t - 1 / t) / 2
root = (t + 1 / t) / 2
slope = derivative(kappa**2 * (root - 1), t) / derivative(residual, t)
curvature = derivative(slope, t) / derivative(residual, t)
s = 2 * t / (t**2 + 1)
PSEUDO_HUBER = [
    ("pseudo-Huber: the root", 1 + residual**2 / kappa**2, root**2),
    ("pseudo-Huber: gradient", slope, residual / root),
    ("pseudo-Huber: curvature", curvature, s**3),
    (
        "pseudo-Huber: 1 less the curvature is not negative",
        1 - curvature,
        (t - 1) ** 2 / (t**2 + 1) * (1 + s + s**2),
    ),
]

# %% [markdown]
# The Huber loss is not twice differentiable at $|x| = \delta$. Its gradient is the point of
# $[-\delta, \delta]$ next to $x$: continuous, with slope one inside and zero outside. Its
# differences are those of $x$ or smaller, of the same sign: $\tau = 1$ and $\mu = 0$.
#
# ## Several outputs
#
# ### Squared, with weights
#
# $\ell(f) = \frac12 \sum_c q_c (f_c - y_c)^2$ has $D^\top H D = \sum_c q_c D_c^2$. With $\kappa$
# the largest weight every term on the right of the first identity is at least zero; with $\kappa$
# the smallest, none is above zero. Both are reached along one axis: $\tau = \max_c q_c$,
# $\mu = \min_c q_c$. With all weights one, $\tau = \mu = 1$.


# %%
def form(gradient):
    """D^T H D, where the gradient's entry c differentiated by F_b is H_cb."""
    return total(
        v, lambda x: total(v, lambda y: D[x] * derivative(gradient(x), F[b]).subs(b, y) * D[y])
    )


def square(x):
    return total(v, lambda c: x(c) ** 2)


squared = total(v, lambda x: HALF * q[x] * (F[x] - Y[x]) ** 2)
SQUARED = [
    ("squared: gradient", derivative(squared, F[c]), q[c] * (F[c] - Y[c])),
    (
        "squared: a constant less the curvature",
        kappa * square(lambda x: D[x]) - form(lambda x: derivative(squared, F[c]).subs(c, x)),
        total(v, lambda x: (kappa - q[x]) * D[x] ** 2),
    ),
]

# %% [markdown]
# ### Cross-entropy
#
# $\ell(f) = \log \sum_k e^{f_k} - \sum_k y_k f_k$ with $\sum_k y_k = 1$. Its gradient is $p - y$
# with $p$ the softmax of $f$, and its Hessian $\mathrm{diag}(p) - p p^\top$, so that
#
# $$D^\top H D = \frac12 \sum_{cb} p_c p_b (D_c - D_b)^2 \ge 0.$$
#
# From above: $(D_c - D_b)^2 = 2 D_c^2 + 2 D_b^2 - (D_c + D_b)^2$, and
# $\sum_{b \ne c} p_b = 1 - p_c$, so that
#
# $$D^\top H D = 2 \sum_c p_c (1 - p_c) D_c^2 - \frac12 \sum_{c \ne b} p_c p_b (D_c + D_b)^2,
#   \qquad \frac12 - 2 p (1 - p) = 2 (p - \tfrac12)^2,$$
#
# and what is left between $\frac12 |D|^2$ and $D^\top H D$ is a sum of squares. It is zero for two
# classes with $p = (\frac12, \frac12)$ and $D = (1, -1)$, and goes to zero for more classes as all
# but two are ruled out: $\tau = \frac12$. Along $D = (1, \dots, 1)$ the curvature is zero:
# $\mu = 0$.

# %%
partition = total(v, lambda k: exp(F[k]))
cross_entropy = log(partition) - total(v, lambda k: Y[k] * F[k])


def p(c):
    return exp(F[c]) / partition


def apart(c, b):
    return 1 - KroneckerDelta(c, b)


CROSS_ENTROPY = [
    ("cross-entropy: gradient", cross_entropy.diff(F[c]), p(c) - Y[c]),
    ("cross-entropy: Hessian", derivative(p(c), F[b]), p(c) * (KroneckerDelta(c, b) - p(b))),
    (
        "cross-entropy: the curvature is a sum of squares",
        form(p),
        total(v, lambda x: total(v, lambda y: HALF * p(x) * p(y) * (D[x] - D[y]) ** 2)),
    ),
    (
        "cross-entropy: half less the curvature is a sum of squares",
        HALF * square(lambda x: D[x]) - form(p),
        2 * total(v, lambda x: (p(x) - HALF) ** 2 * D[x] ** 2)
        + total(
            v,
            lambda x: total(v, lambda y: HALF * apart(x, y) * p(x) * p(y) * (D[x] + D[y]) ** 2),
        ),
    ),
]

# %%
IDENTITIES = [*LOGISTIC, *LOG_COSH, *PSEUDO_HUBER, *SQUARED, *CROSS_ENTROPY]

if __name__ == "__main__":
    report(IDENTITIES)
