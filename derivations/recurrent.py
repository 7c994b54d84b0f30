# %% [markdown]
# # For contrast: a recurrence
#
# The paper sets the attention gradient against that of a recurrent learner. The smallest such
# learner has scalar inputs $s_j$, an input weight $u$ and a recurrent weight $w$:
#
# $$x_0 = 0, \qquad x_j = u\, s_j + w\, x_{j-1}.$$

# %%
from ntteach.symbols import L, derivative, j, report, s, total, u, w

# %% [markdown]
# ## Unrolled
#
# By induction on the length, $x_L = \sum_{j=1}^{L} u\, s_j\, w^{L-j}$: the formula has the right
# first value, and if it holds for $L$, the recurrence gives it for $L + 1$.


# %%
def state(length):
    return total(length, lambda j: u * s[j] * w ** (length - j))


x_0 = 0
first = ("first state", u * s[1] + w * x_0, state(1))
step = ("induction step", u * s[L + 1] + w * state(L), state(L + 1))

# %% [markdown]
# ## Its gradients
#
# The place of an input in the sequence sets the power of $w$ that it is multiplied by: early inputs
# fade for $|w| < 1$ and take over for $|w| > 1$. In Eqs. 10-12 there is no such power, and places
# can be exchanged.
#
# $$\frac{\partial x_L}{\partial u} = \sum_{j=1}^{L} s_j w^{L-j}, \qquad
#   \frac{\partial x_L}{\partial w} = \sum_{j=1}^{L} (L - j)\, u\, s_j\, w^{L-j-1}, \qquad
#   \frac{\partial^2 x_L}{\partial u\, \partial s_j} = w^{L-j}.$$
#
# The gradient by $w$ obeys a recurrence too, the one that is followed when gradients are carried
# forward in time: $\partial_w x_{L+1} = x_L + w\, \partial_w x_L$.

# %%
by_u, by_w = derivative(state(L), u), derivative(state(L), w)
by_u_closed = total(L, lambda j: s[j] * w ** (L - j))
by_w_closed = total(L, lambda j: (L - j) * u * s[j] * w ** (L - j - 1))

IDENTITIES = [
    first,
    step,
    ("gradient by the input weight", by_u, by_u_closed),
    ("gradient by the recurrent weight", by_w, by_w_closed),
    ("gradient by w, forward in time", derivative(state(L + 1), w), state(L) + w * by_w),
    ("the place sets the power of w", derivative(by_u, s[j]), w ** (L - j)),
]

if __name__ == "__main__":
    report(IDENTITIES)
