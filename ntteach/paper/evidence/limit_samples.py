"""The identities behind Theorem 3 in numbers: the library and closed formulas against autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, jvp

from ntteach import oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.domains import AttentionCase, Shape, random_cases
from ntteach.paper.evidence.training import LOSSES
from ntteach.tangent import antk

Params = dict[str, Tensor]
LARGEST = Shape(N=2, L=3, M=3, d=4, d_c=4, d_k=4, v=2)
ETA = 0.1


class Pair:
    """A learner, another one of its shape, and loss gradients."""

    def __init__(self, case: AttentionCase, seed: int) -> None:
        self.params, self.S = dict(case.params), case.S
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, dtype=case.S.dtype).to(case.S.device)

        self.other = {name: W + 0.3 * normal(*W.shape) for name, W in case.params.items()}
        self.G = normal(*case.S.shape[:2], case.params["W_V"].shape[1])
        # an orthogonal matrix
        d = case.S.shape[2]
        self.turn = torch.linalg.qr(normal(d, d)).Q

    def __str__(self) -> str:
        return f"S {tuple(self.S.shape)}, W_Q {tuple(self.params['W_Q'].shape)}"

    def features(self, params: Params) -> Tensor:
        """The oracle's gradients, `(n, parameters)`."""
        blocks = oracles.jacobian(params, self.S)
        return torch.cat([block.flatten(3).flatten(0, 2) for block in blocks.values()], 1)

    def kernel(self, params: Params) -> Tensor:
        """The library's kernel, `(n, n)`."""
        K = antk(params, self.S)
        return K.reshape(self.G.numel(), self.G.numel())

    def velocity(self) -> Params:
        """Eq. 61 for a loss with these gradients, by autograd."""

        def loss(params: Params) -> Tensor:
            return (self.G * oracles.attention(params, self.S)).sum() / self.G.numel()

        return {name: -ETA * slope for name, slope in grad(loss)(self.params).items()}


def pairs(setting: Setting) -> list[Pair]:
    """Small random problems, each with another learner."""
    cases = random_cases("self", count=setting.scaled(8, 40), seed=setting.seed, largest=LARGEST)
    return [Pair(case, setting.seed + place) for place, case in enumerate(cases)]


def near(value: Tensor) -> tuple[Tensor, Tensor]:
    """A value and a bound on an honest error."""
    # sums of a few dozen terms of the size of the largest
    return value, torch.full_like(value, 1e-11 * max(1.0, value.abs().max().item()))


SCOPE = "float64, self-attention, L to 3, d to 4, d_k to 4, v to 2"


def kernel_difference(claim: Claim, setting: Setting) -> Evidence:
    """`antk` at two points, subtracted, against (J - J') J^T + J' (J - J')^T from autograd.

    A pass guarantees agreement to rounding on the cases of the scope.
    """

    def reference(pair: Pair) -> tuple[Tensor, Tensor]:
        J, other = (pair.features(params) for params in (pair.params, pair.other))
        return near((J - other) @ J.T + other @ (J - other).T)

    def difference(pair: Pair) -> Tensor:
        return pair.kernel(pair.params) - pair.kernel(pair.other)

    return agree(
        difference,
        reference,
        pairs(setting),
        mutants={
            "the other way round": lambda pair: -difference(pair),
            "value block from one point": lambda pair: (
                pair.kernel(pair.params) - pair.kernel({**pair.other, "W_V": pair.params["W_V"]})
            ),
            "off by a relative 1e-9": lambda pair: difference(pair) * (1 + 1e-9),
        },
        scope=SCOPE,
    )


def motion_left(claim: Claim, setting: Setting) -> Evidence:
    """Eq. 60's left side for another learner's kernel, against Eq. 59's two sides subtracted.

    K is the kernel of another learner; the motion by K_theta is the speed of the outputs by
    autograd along Eq. 61. A pass guarantees agreement to rounding.
    """

    def bracket(pair: Pair, *, own: float = 1.0) -> Tensor:
        K = pair.kernel(pair.other) - own * pair.kernel(pair.params)
        return -ETA / pair.G.numel() * (pair.G.flatten() @ K)

    def reference(pair: Pair) -> tuple[Tensor, Tensor]:
        J = pair.features(pair.other)
        by_canonical = -ETA / pair.G.numel() * (J @ (J.T @ pair.G.flatten()))
        speed = jvp(
            lambda params: oracles.attention(params, pair.S), (pair.params,), (pair.velocity(),)
        )[1]
        return near(by_canonical - speed.flatten())

    return agree(
        bracket,
        reference,
        pairs(setting),
        mutants={
            "sign turned": lambda pair: -bracket(pair),
            "averaged twice": lambda pair: bracket(pair) / pair.G.numel(),
            "K alone": lambda pair: bracket(pair, own=0.0),
            "off by a relative 1e-6": lambda pair: bracket(pair, own=1 + 1e-6),
        },
        scope=SCOPE,
    )


def velocity_size(claim: Claim, setting: Setting) -> Evidence:
    """(eta / n)^2 g^T K g from `antk` against the squared length of Eq. 61 by autograd.

    A pass guarantees agreement to rounding on the cases of the scope.
    """

    def form(pair: Pair) -> Tensor:
        g = pair.G.flatten()
        return ((ETA / len(g)) ** 2 * (g @ pair.kernel(pair.params) @ g)).reshape(1)

    def reference(pair: Pair) -> tuple[Tensor, Tensor]:
        size = sum(x.square().sum() for x in pair.velocity().values())
        value = torch.as_tensor(size).reshape(1)
        return value, 1e-11 * value

    return agree(
        form,
        reference,
        pairs(setting),
        mutants={
            "averaged once": lambda pair: form(pair) * pair.G.numel(),
            "without eta": lambda pair: form(pair) / ETA**2,
            "the kernel of another learner": lambda pair: form(_swapped(pair)),
        },
        scope=SCOPE,
    )


def _swapped(pair: Pair) -> Pair:
    swapped = Pair.__new__(Pair)
    vars(swapped).update(vars(pair), params=pair.other, other=pair.params)
    return swapped


# Each with the Lipschitz constant of its derivative; their least value is zero.
SMOOTHNESS = {"squared": 1.0, "logistic": 0.25, "huber": 1.0}


def smooth_losses(claim: Claim, setting: Setting) -> Evidence:
    """|g|^2 against 2 tau L for three losses whose least value is zero, g by autograd.

    A pass guarantees the inequality at the outputs drawn, near the least value and far from it.
    The mutants are constants too small by one per cent for the squared loss, where the inequality
    is an equality, and by a quarter for the others.
    """
    g = torch.Generator().manual_seed(setting.seed)
    count = setting.scaled(2000, 20000)
    f, y = (torch.randn(count, generator=g, dtype=torch.float64) for _ in range(2))
    f = f * 10 ** torch.linspace(-3, 1, count, dtype=torch.float64) + y

    def worst(name: str, share: float = 1.0) -> float:
        loss = LOSSES[name]
        slope = grad(lambda f: loss(f, y).sum())(f)
        return (slope.square() / (2 * share * SMOOTHNESS[name] * loss(f, y))).max().item()

    ratio = max(worst(name) for name in SMOOTHNESS)
    return Evidence(
        Outcome.SUPPORTS if ratio <= 1 + 1e-9 else Outcome.REFUTES,
        f"float64, {', '.join(SMOOTHNESS)} loss, outputs and targets of order 1e-3 to 10",
        3 * count,
        min(ratio, 1.0) if ratio <= 1 + 1e-9 else ratio,
        f"|g|^2 / (2 tau L) is at most {ratio:.6f}",
        tuple(
            Mutant(f"tau of the {name} loss times {share:g}", worst(name, share) > 1 + 1e-9)
            for name, share in (("squared", 0.99), ("logistic", 0.75), ("huber", 0.75))
        ),
    )


def enough_directions(claim: Claim, setting: Setting) -> Evidence:
    """A column of K - K_theta from its contractions with as many directions as it has entries.

    A pass guarantees that least squares return the column up to rounding. With one direction
    fewer it does not, which is a mutant.
    """

    def directions(pair: Pair, fewer: int) -> Tensor:
        n = pair.G.numel()
        g = torch.Generator().manual_seed(n)
        return torch.randn(n - fewer, n, generator=g, dtype=pair.G.dtype)

    def column(pair: Pair) -> Tensor:
        return (pair.kernel(pair.other) - pair.kernel(pair.params))[:, 0]

    def solved(pair: Pair, fewer: int = 0) -> Tensor:
        g = directions(pair, fewer)
        return torch.linalg.pinv(g) @ (g @ column(pair))

    def reference(pair: Pair) -> tuple[Tensor, Tensor]:
        J, other = (pair.features(params) for params in (pair.params, pair.other))
        value = (other @ other.T - J @ J.T)[:, 0]
        condition = torch.linalg.cond(directions(pair, 0)).item()
        return value, torch.full_like(value, 1e-12 * condition * max(1, value.abs().max().item()))

    return agree(
        solved,
        reference,
        [pair for pair in pairs(setting) if pair.G.numel() > 1],
        mutants={"one direction fewer": lambda pair: solved(pair, fewer=1)},
        scope=SCOPE,
    )
