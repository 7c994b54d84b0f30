"""The kernel's laws: exact witnesses against the library, and checks that see planted errors."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from torch import Tensor
from torch.func import grad, jvp

import ntteach
from ntteach import oracles
from ntteach.claims import Evidence, Outcome, Setting
from ntteach.claims.verdict import judge
from ntteach.paper import registry
from ntteach.paper.evidence import (
    gram,
    kernel_laws,
    kernel_matrix,
    kernel_symmetries,
    kernel_symmetry_laws,
    width,
    width_trend,
)
from ntteach.paper.evidence.arithmetic import BLOCKS, EXACT, FLOATS, read
from ntteach.paper.evidence.kernel_matrix import Shape

QUICK = Setting()
CLAIM = registry["kernel-symmetric"]
CHECK = CLAIM.checks[-1]
F64 = torch.float64
ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}


def outcome(evidence: Evidence) -> Outcome:
    return judge(CHECK, evidence).outcome


# --- the exact kernel ----------------------------------------------------------------------------


def drawn(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    L, d, v = draw.choice([(2, 1, 1), (2, 1, 2), (2, 2, 1), (3, 2, 1)])

    def matrix(rows: int, columns: int) -> list[list[int]]:
        return [[draw.randint(-2, 2) for _ in range(columns)] for _ in range(rows)]

    given: dict[str, Any] = {"S": matrix(L, d), "others": [matrix(L, d)]}
    given |= {"W_Q": matrix(d, d), "W_K": matrix(d, d), "W_V": matrix(d, v)}
    return given | ({"mask": "causal"} if seed % 2 else {})


@pytest.mark.parametrize("seed", range(6))
def test_the_exact_kernel_is_the_librarys_and_the_oracles(seed: int):
    given = drawn(seed)
    exact = gram.kernel(kernel_laws.sequences(given, EXACT)).astype(float)
    p = read(given, FLOATS)
    params = {name: torch.from_numpy(getattr(p, name)) for name in BLOCKS}
    S = torch.tensor([given["S"], *given["others"]], dtype=F64)
    library = ntteach.antk(params, S, mask=given.get("mask"))
    mask = torch.ones(S.shape[1], S.shape[1], dtype=torch.bool).tril() if "mask" in given else None
    oracle = oracles.tangent_kernel(params, S, mask=mask)
    for K in (library, oracle):
        assert np.allclose(kernel_matrix.matrix(K).numpy(), exact, rtol=1e-11, atol=1e-11)


def test_the_stored_refutation_is_singular_for_the_library_too():
    stored = registry["kernel-positive-definite"].counterexample
    assert stored is not None
    p = read(stored.given, FLOATS)
    params = {name: torch.from_numpy(getattr(p, name)) for name in BLOCKS}
    eigenvalues = torch.linalg.eigvalsh(
        kernel_matrix.matrix(ntteach.antk(params, torch.from_numpy(p.S)[None]))
    )
    assert eigenvalues[0].abs() < 1e-14
    assert eigenvalues[1] > 1e-3  # two dimensions, as 2 d d_h - d_h^2 + d v has it


LOG2 = sympy.log(2)


@pytest.mark.parametrize(
    ("rows", "rank", "determinant"),
    [
        ([[1, LOG2], [LOG2, LOG2**2]], 1, 0),
        ([[1, LOG2], [1, 1 + LOG2]], 2, 1),
        ([[sympy.sqrt(2), 1], [2, sympy.sqrt(2)]], 1, 0),
        ([[1, 1], [1, 1 + sympy.Rational(1, 10**30)]], 2, sympy.Rational(1, 10**30)),
        ([[LOG2, 0], [0, LOG2]], 2, LOG2**2),
    ],
)
def test_ranks_and_determinants_are_exact(rows: list[list[Any]], rank: int, determinant: Any):
    K = np.array([[sympy.sympify(x) for x in row] for row in rows], dtype=object)
    assert gram.rank(K) == rank
    assert gram.determinant(K) == determinant


def test_ranks_of_floats_are_relative_to_the_largest():
    assert gram.rank(np.diag([1.0, 1e-3, 1e-12])) == 2
    assert gram.rank(1e-20 * np.diag([1.0, 1e-3])) == 2


def test_a_definite_kernel_needs_tokens_that_differ_and_outputs_that_move():
    law = kernel_laws.kernel_is_definite
    for S, name in (
        ([[1], [1]], "all tokens differ"),
        ([[2]], "two tokens or more in each sequence"),
    ):
        finding = law({"S": S, **ONES}, EXACT)
        assert [h.name for h in finding.hypotheses if not h.met] == [name]
    # under a causal mask a first token of zero moves with no parameter
    still = law({"S": [[0], [1]], **ONES, "mask": "causal"}, EXACT)
    assert [h.name for h in still.hypotheses if not h.met] == ["every output has a gradient"]
    assert not still.violated


def test_a_change_of_basis_is_undone_by_its_inverse():
    p = read(
        {"S": [[1, 2]], "W_Q": [[1, 0], [0, 1]], "W_K": [[1, 3], [0, 1]], "W_V": [[1], [1]]}, EXACT
    )
    X = np.array([[sympy.Integer(2), sympy.Integer(1)], [sympy.Integer(1), sympy.Integer(1)]])
    q = kernel_symmetry_laws.changed_basis(p, X)
    assert (q.W_Q @ q.W_K.T == p.W_Q @ p.W_K.T).all()
    assert (q.W_K != p.W_K).any()


# --- rank ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "bound"),
    [
        (Shape(4, 4, 4, 1), 20),  # d^2 + d v, of 36 parameters
        (Shape(4, 4, 2, 1), 2 * 4 * 2 - 4 + 4),
        (Shape(4, 4, 4, 2, heads=2), 2 * (2 * 4 * 2 - 4) + 4 * 2),
        (Shape(2, 2, 6, 2, heads=2), 2 * 4 + 2 * 2),  # d_h > d: d^2 for each head
        (Shape(1, 1, 1, 1), 2),
        (Shape(3, 2, 9, 1), 3 * 2 + 2),  # all of W_Q W_K^T
    ],
)
def test_the_bound_on_the_rank_by_hand(shape: Shape, bound: int):
    assert shape.bound == bound


@pytest.mark.parametrize("shape", kernel_matrix.SHAPES, ids=str)
def test_the_bound_counts_what_moves_queries_times_keys(shape: Shape):
    # the rank of (D_Q, D_K) -> D_Q W_K^T + W_Q D_K^T, head by head, and of the same for W_V W_O
    g = torch.Generator().manual_seed(0)

    def moved(one: int, width: int, other: int) -> int:
        A, B = (torch.randn(n, width, generator=g, dtype=F64) for n in (one, other))
        left = torch.kron(torch.eye(one, dtype=F64), B)
        right = torch.kron(A, torch.eye(other, dtype=F64))
        return int(torch.linalg.matrix_rank(torch.cat([left, right], 1)))

    d_h, v_h = shape.d_k // shape.heads, shape.v // shape.heads
    values = moved(shape.d_c, v_h, shape.o) if shape.o else shape.d_c * v_h
    assert shape.bound == shape.heads * (moved(shape.d, d_h, shape.d_c) + values)


def test_the_oracles_kernel_has_that_rank_too():
    g = torch.Generator().manual_seed(1)
    params = {
        name: torch.randn(3, n, generator=g, dtype=F64)
        for name, n in (("W_Q", 4), ("W_K", 4), ("W_V", 2))
    }
    S = torch.randn(30, 3, 3, generator=g, dtype=F64)
    K = kernel_matrix.matrix(oracles.tangent_kernel(params, S, heads=2))
    assert kernel_matrix.rank_by_gap(K)[0] == Shape(3, 3, 4, 2, heads=2).bound == 2 * 8 + 6


@pytest.mark.parametrize(
    ("spectrum", "rank"), [([9.0, 3.0, 1e-15, 1e-16], 2), ([5.0, 1e-4, 1e-17], 2), ([1.0, 0.0], 1)]
)
def test_the_rank_is_where_the_spectrum_falls_most(spectrum: list[float], rank: int):
    turn = torch.linalg.qr(
        torch.randn(
            len(spectrum), len(spectrum), dtype=F64, generator=torch.Generator().manual_seed(0)
        )
    ).Q
    K = turn @ torch.diag(torch.tensor(spectrum, dtype=F64)) @ turn.T
    found, gap = kernel_matrix.rank_by_gap(K)
    assert found == rank
    assert gap > 1e6


# --- planted errors ------------------------------------------------------------------------------


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Tensor]], None]:
    """Puts a wrong kernel in the place of the library's, in the checks."""

    def plant(wrong: Callable[..., Tensor]) -> None:
        for module in (kernel_matrix, kernel_symmetries):
            monkeypatch.setattr(module, "antk", wrong)

    return plant


FOLLOWS = {"forms": ("self", "multi-head"), "moved": False}
MASKED = {"forms": ("causal", "masked"), "moved": True}


def test_the_checks_pass_on_the_librarys_kernel():
    for check in (kernel_matrix.symmetric, kernel_matrix.semidefinite, kernel_matrix.generic_rank):
        assert outcome(check(CLAIM, QUICK)) is Outcome.SUPPORTS
    assert outcome(kernel_symmetries.orthogonal_basis(CLAIM, QUICK)) is Outcome.SUPPORTS
    for arguments in (FOLLOWS, MASKED):
        found = kernel_symmetries.kernel_follows(CLAIM, QUICK, **arguments)
        assert outcome(found) is Outcome.SUPPORTS


def test_a_kernel_that_is_not_symmetric_is_seen(planted: Callable[..., None]):
    def leaning(params: Any, S: Tensor, S_other: Tensor | None = None, **rest: Any) -> Tensor:
        K = ntteach.antk(params, S, S_other, **rest)
        # rows weigh a little more where the first sequence is long
        return K * (1 + 1e-9 * S.square().sum(-1)[..., None, None, None, None])

    planted(leaning)
    assert kernel_matrix.symmetric(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_a_kernel_with_a_negative_direction_is_seen(planted: Callable[..., None]):
    def lowered(params: Any, S: Tensor, *rest: Any, **named: Any) -> Tensor:
        K = ntteach.antk(params, S, *rest, **named)
        side = K.shape[:3].numel()
        return K - 1e-9 * kernel_matrix.size(K) * torch.eye(side, dtype=K.dtype).view_as(K)

    planted(lowered)
    assert kernel_matrix.semidefinite(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_a_kernel_that_misses_a_block_has_another_rank(planted: Callable[..., None]):
    def without_values(params: Any, S: Tensor, *rest: Any, **named: Any) -> Tensor:
        # at W_V = 0 nothing but the value block is left
        none = {**params, "W_V": torch.zeros_like(params["W_V"])}
        return ntteach.antk(params, S, *rest, **named) - ntteach.antk(none, S, *rest, **named)

    planted(without_values)
    found = kernel_matrix.generic_rank(CLAIM, QUICK)
    assert found.outcome is Outcome.REFUTES
    # of the first shape, d = 3 and d_k = v = 1, the value block's d v = 3 dimensions are missing
    assert ": 5, not 8" in found.detail


def test_a_kernel_that_sees_the_basis_is_seen(planted: Callable[..., None]):
    def regularised(params: Any, S: Tensor, *rest: Any, **named: Any) -> Tensor:
        K = ntteach.antk(params, S, *rest, **named)
        return K * (1 + 1e-8 * params["W_Q"][0, 0])

    planted(regularised)
    assert kernel_symmetries.orthogonal_basis(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_a_kernel_that_sees_places_is_seen(planted: Callable[..., None]):
    def with_places(params: Any, S: Tensor, *rest: Any, **named: Any) -> Tensor:
        K = ntteach.antk(params, S, *rest, **named)
        places = torch.arange(S.shape[-2], dtype=S.dtype)
        return K * (1 + 1e-8 * places[:, None, None, None, None])

    planted(with_places)
    for arguments in (FOLLOWS, MASKED):
        found = kernel_symmetries.kernel_follows(CLAIM, QUICK, **arguments)
        assert found.outcome is Outcome.REFUTES


def test_a_kernel_that_takes_one_mask_for_both_sides_is_seen(planted: Callable[..., None]):
    def one_mask(params: Any, S: Tensor, S_other: Tensor | None = None, **named: Any) -> Tensor:
        if S_other is not None and named.get("mask_other") is not None:
            named["mask_other"] = named["mask"]
        return ntteach.antk(params, S, S_other, **named)

    planted(one_mask)
    found = kernel_symmetries.kernel_follows(CLAIM, QUICK, **MASKED)
    assert found.outcome is Outcome.REFUTES


def test_an_attention_that_sees_the_basis_is_seen(monkeypatch: pytest.MonkeyPatch):
    def wrong(params: Any, S: Tensor, **named: Any) -> Tensor:
        return ntteach.attention(params, S, **named) * (1 + 1e-8 * params["W_K"][0, 0])

    monkeypatch.setattr(kernel_symmetries, "attention", wrong)
    assert kernel_symmetries.basis_and_output(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_no_gradient_of_the_library_points_along_the_gauge():
    g = torch.Generator().manual_seed(3)
    params = {name: torch.randn(3, 4, generator=g, dtype=F64) for name in BLOCKS}
    S = torch.randn(2, 5, 3, generator=g, dtype=F64)
    blocks = ntteach.attention_jacobian(params, S, heads=2, mask="causal")
    X = torch.block_diag(*torch.randn(2, 2, 2, generator=g, dtype=F64))
    along = torch.einsum("njcai,ai->njc", blocks["W_Q"], params["W_Q"] @ X)
    back = torch.einsum("njcai,ai->njc", blocks["W_K"], params["W_K"] @ X.T)
    assert along.abs().max() > 0.1
    assert torch.allclose(along, back, rtol=1e-12, atol=1e-12)
    # a basis across heads is seen
    X = torch.randn(4, 4, generator=g, dtype=F64)
    along = torch.einsum("njcai,ai->njc", blocks["W_Q"], params["W_Q"] @ X)
    back = torch.einsum("njcai,ai->njc", blocks["W_K"], params["W_K"] @ X.T)
    assert not torch.allclose(along, back, rtol=1e-2, atol=1e-2)


# --- width ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("d_k", [2, 6, 16])
@pytest.mark.parametrize(
    ("tokens", "labels", "value"), [([0, 1], [1, 0], 1), ([1, -2, 3], [0, 1, 1], -1)]
)
def test_the_exact_rate_of_the_kernel_is_that_of_autograd(
    tokens: list[int], labels: list[int], value: int, d_k: int
):
    exact = [[sympy.Integer(x) for x in numbers] for numbers in (tokens, labels)]
    rate = width.kernel_rate(exact[0], exact[1], sympy.Integer(value), *width.start(d_k))
    assert all(sympy.sympify(x).is_Rational for x in rate.flat())
    S = torch.tensor(tokens, dtype=F64)[:, None]
    y = torch.tensor(labels, dtype=F64)[:, None]
    q, k = (torch.tensor([row], dtype=F64) for row in width.start(d_k))
    params = {"W_Q": q, "W_K": k, "W_V": torch.tensor([[float(value)]], dtype=F64)}

    def loss(params: dict[str, Tensor]) -> Tensor:
        return (oracles.attention(params, S) - y).square().sum() / 2

    flow = {name: -slope for name, slope in grad(loss)(params).items()}
    for kernel in (oracles.tangent_kernel, ntteach.antk):
        moving = jvp(lambda params, kernel=kernel: kernel(params, S), (params,), (flow,))[1]
        expected = torch.tensor(np.array(rate.tolist(), dtype=float))
        assert torch.allclose(moving[:, 0, :, 0], expected, rtol=1e-12, atol=1e-12)
    assert any(rate.flat())


def test_the_exact_rate_is_the_same_at_every_width_looked_at():
    tokens, labels = [sympy.Integer(x) for x in (0, 1)], [sympy.Integer(x) for x in (1, 0)]
    rates = {
        width.kernel_rate(tokens, labels, sympy.Integer(1), *width.start(n)).as_immutable()
        for n in (2, 4, 10, 64, 100)
    }
    (rate,) = rates
    # by hand: mean 1/2, variance 1/4; dw/dt = 0, da/dt = -2 R = -(1/2)(1/4) 2 = -1/4
    assert rate[0, 1] == sympy.Rational(1, 2) * sympy.Rational(-1, 4) * sympy.Rational(1, 4)


def test_a_wider_start_that_is_not_drawn_from_the_prior_refutes_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    stored = registry["wide-keys-constant-kernel"].counterexample
    assert stored is not None
    assert width.kernel_rate_vanishes(stored.given, EXACT).violated
    monkeypatch.setattr(width, "start", lambda n: ([1] * n, [2 * (-1) ** i for i in range(n)]))
    finding = width.kernel_rate_vanishes(stored.given, EXACT)
    assert not finding.holds
    assert not finding.violated


def test_ntk_parametrisation_with_one_feature_is_the_learner_itself():
    # with d = 1 every fan-in but that of the logits is one
    params = {name: W[0] for name, W in width_trend.draw(1, 8, 1, seed=0).items()}
    one = {name: W[:1] for name, W in params.items()}
    S = torch.randn(2, 3, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    assert torch.equal(width_trend.outputs(one, S, 1), ntteach.attention(one, S).flatten())


def test_many_heads_are_divided_by_the_root_of_their_number():
    params = {name: W[0] for name, W in width_trend.draw(1, 2 * 9, 9, seed=0).items()}
    S = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    half = {name: W / 2**0.5 for name, W in params.items() if name != "W_O"}
    heads = oracles.attention(half, S, heads=9)
    expected = (heads @ params["W_O"]).flatten() / 3
    assert torch.allclose(width_trend.outputs(params, S, 9), expected, rtol=1e-13, atol=1e-13)


def test_a_drift_that_neither_stays_nor_falls_is_left_open(monkeypatch: pytest.MonkeyPatch):
    def measured(power: float) -> Outcome:
        def drift(d_k: int, heads: int, **_: Any) -> float:
            return 0.3 * max(d_k if heads == 1 else heads, 1) ** power * (1 + 0.01 * (d_k % 3))

        with monkeypatch.context() as patched:
            patched.setattr(width_trend, "drift", drift)
            return width_trend.drift_vanishes(CLAIM, QUICK, width="keys").outcome

    assert measured(0.0) is Outcome.REFUTES
    assert measured(-0.5) is Outcome.SUPPORTS
    assert measured(-0.25) is Outcome.SILENT


def test_training_moves_the_kernel_of_one_head():
    # without training there is no drift; ten times the time brings more than twice as much
    def drift() -> float:
        return width_trend.drift(16, 1, starts=8, seed=0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(width_trend, "TIME", 0.0)
        assert drift() == 0.0
        patched.setattr(width_trend, "TIME", 0.05)
        little = drift()
    assert 0 < 2 * little < drift()
