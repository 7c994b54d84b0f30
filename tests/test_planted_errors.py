"""One error in the source, and `ntteach verify` exits with 1 and names the claims it moved.

Each edit is made in a copy of the package and the derivations, and the command runs there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import ntteach
from ntteach.paper import derivations, registry

PACKAGE = Path(ntteach.__file__).parent
SCRIPTS = derivations.path("definition").parent


@dataclass(frozen=True)
class Edit:
    """`old` becomes `new` in a file, wherever it stands; then claims are verified.

    Args:
        file: below the folder that holds the package and the derivations.
        old: occurs exactly `times` times, so that a stale edit fails loudly.
        new: what stands there then.
        moved: the claims that are verified and have to move.
        times: how often `old` occurs.
    """

    file: str
    old: str
    new: str
    moved: tuple[str, ...]
    times: int = 1


def gradients(old: str, new: str, *moved: str, times: int = 1) -> Edit:
    return Edit("ntteach/gradients.py", old, new, moved, times=times)


def tangent(module: str, old: str, new: str, *moved: str, times: int = 1) -> Edit:
    return Edit(f"ntteach/tangent/{module}.py", old, new, moved, times=times)


def oracles(old: str, new: str, *moved: str) -> Edit:
    return Edit("ntteach/oracles.py", old, new, moved)


def symbols(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/symbols/{module}.py", old, new, moved)


def checks(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/checks/{module}.py", old, new, moved)


def derivation(name: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"derivations/{name}.py", old, new, moved)


def paper(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/paper/{module}.py", old, new, moved)


def evidence(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/paper/evidence/{module}.py", old, new, moved)


def teaching(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/teaching/{module}.py", old, new, moved)


def rkhs(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/rkhs/{module}.py", old, new, moved)


def bounds(module: str, old: str, new: str, *moved: str) -> Edit:
    return Edit(f"ntteach/bounds/{module}.py", old, new, moved)


def losses(old: str, new: str, *moved: str) -> Edit:
    return Edit("ntteach/losses.py", old, new, moved)


# claims that take the least time to verify
OMEGA = "importance-per-feature-and-output"  # Eq. 11 and its covariance form, for any v
RECURRENT = "recurrent-gradient-order"
MEAN = "unequal-length-mean"
ANTK = "antk-closed-form"
CROSS = "antk-cross"
HEADS = "antk-multi-head"
MIXED = "antk-mixed-heads"
TRANSPOSED = "antk-vector-valued"
SHARP = "sharp-mean-reduction"
QUARTERS = "discrete-decrease-paper-rate"
LIMIT = "discrete-decrease-limit"
CONVERGENCE = "convergence-by-least-eigenvalue"
MODES = "modes-of-the-residual"

EDITS = {
    # --- the closed forms
    "sign of the query gradient": gradients(
        "return p.scale * rows", "return -p.scale * rows", OMEGA
    ),
    "scale of the query gradient": gradients("return p.scale * rows", "return rows", OMEGA),
    "queries for keys in omega": gradients(
        "_deviation(w) @ w.K.unsqueeze(-3)", "_deviation(w) @ w.Q.unsqueeze(-3)", OMEGA
    ),
    "sign of the key gradient": gradients(
        "(p.scale * mixed * queries)", "(-p.scale * mixed * queries)", "key-gradient-derivation"
    ),
    "scale of the key gradient": gradients(
        "(p.scale * mixed * queries)", "(mixed * queries)", "key-gradient-derivation"
    ),
    "keys for queries in the key gradient": gradients(
        "queries = w.Q.movedim(-3, -2)", "queries = w.K.movedim(-3, -2)", "key-gradient-derivation"
    ),
    "mean not subtracted": gradients(
        "(w.V.mT.unsqueeze(-3) - w.head_outputs.unsqueeze(-1))", "w.V.mT.unsqueeze(-3)", OMEGA
    ),
    "transposed contraction of the value gradient": gradients(
        "AC = w.weights @ p.C", "AC = w.weights.mT @ p.C", "value-gradient-derivation"
    ),
    "mask ignored": gradients(
        "p = problem(params, S, context, mask, heads)",
        "p = problem(params, S, context, None, heads)",
        "masked-gradients",
        times=7,
    ),
    "keys of another head": gradients(
        "_deviation(w) @ w.K.unsqueeze(-3)",
        "_deviation(w) @ w.K.roll(1, -3).unsqueeze(-3)",
        "multi-head-gradients",
    ),
    "value blocks of another head": gradients(
        "wide = AC.movedim(-3, -1)", "wide = AC.roll(1, -3).movedim(-3, -1)", "multi-head-gradients"
    ),
    "columns of W_O reversed": gradients(
        '"...hja,hbo->...joahb", AC, p.W_O)',
        '"...hja,hbo->...joahb", AC, p.W_O.flip(-1))',
        "mixed-head-gradients",
    ),
    "mean not subtracted in a product with a loss gradient": gradients(
        " - (R_head * w.head_outputs).sum(-1, keepdim=True)", "", "parameter-gradient-descent"
    ),
    "queries for keys in a product with a loss gradient": gradients(
        "merge_heads(D @ w.K)", "merge_heads(D @ w.Q)", "parameter-gradient-descent"
    ),
    "scale of the learner": Edit(
        "ntteach/learner.py",
        "_masked_softmax(Q @ K.mT * p.scale, p.mask)",
        "_masked_softmax(Q @ K.mT, p.mask)",
        ("self-attention",),
    ),
    # --- the kernel: what it is made of
    "antk: scale": tangent("features", "B = p.scale * B", "B = 1.0 * B", ANTK),
    "antk: mean not subtracted": tangent(
        "features",
        "(w.V.mT.unsqueeze(-3) - w.head_outputs.unsqueeze(-1))",
        "w.V.mT.unsqueeze(-3)",
        ANTK,
    ),
    "antk: queries for keys": tangent(
        "features", "g = _weighted(B, w.K)", "g = _weighted(B, w.Q)", ANTK
    ),
    "antk: attention transposed": tangent(
        "features", "AC = w.weights @ p.C", "AC = w.weights.mT @ p.C", ANTK
    ),
    "antk: context reversed": tangent(
        "features",
        "h = _weighted(B, p.C.unsqueeze(-3))",
        "h = _weighted(B, p.C.flip(-2).unsqueeze(-3))",
        "antk-cross",
    ),
    "antk: query block of another head": tangent(
        "features", "Term(S, g[head])", "Term(S, g[head - 1])", HEADS
    ),
    "antk: key block of another head": tangent(
        "features",
        "Term(_tokens(w.Q[:, head]), h[head])",
        "Term(_tokens(w.Q[:, head]), h[head - 1])",
        HEADS,
    ),
    "antk: queries of another head": tangent(
        "features",
        "Term(_tokens(w.Q[:, head]), h[head])",
        "Term(_tokens(w.Q[:, head - 1]), h[head])",
        HEADS,
    ),
    "antk: value block of another head": tangent(
        "features", "Term(_tokens(AC[:, head]))", "Term(_tokens(AC[:, head - 1]))", HEADS
    ),
    "antk: W_O of another head": tangent(
        "features", "zip(heads, p.W_O.unbind()", "zip(heads, p.W_O.flip(0).unbind()", MIXED
    ),
    "antk: W_O of another head in query features": tangent(
        "features", '"nhjci,hce->njehi", g, p.W_O)', '"nhjci,hce->njehi", g, p.W_O.flip(0))', MIXED
    ),
    "antk: W_O of another head in key features": tangent(
        "features", '"nhjca,hce->nhjea", h, p.W_O)', '"nhjca,hce->nhjea", h, p.W_O.flip(0))', MIXED
    ),
    "antk: W_O of another head in value features": tangent(
        "features", "each = p.W_O.mT", "each = p.W_O.flip(0).mT", MIXED
    ),
    "antk: queries of another head, mixed": tangent(
        "features", "_tokens(w.Q[:, i])", "_tokens(w.Q[:, i - 1])", MIXED, times=2
    ),
    "antk: size of the output block": tangent(
        "features",
        "_tokens(merge_heads(w.head_outputs))),)",
        "_tokens(2 * merge_heads(w.head_outputs))),)",
        MIXED,
    ),
    "antk: keys of another head in a sum": tangent(
        "features", "x[:, head], p.W_V", "x[:, head - 1], p.W_V", HEADS
    ),
    "antk: weights of another head in a sum": tangent(
        "features", "Sums(rows[:, head]", "Sums(rows[:, head - 1]", HEADS
    ),
    "antk: number of columns in the trace": tangent(
        "features", "v_h**0.5 * AC[:, i]", "AC[:, i]", ANTK
    ),
    "antk: size of W_O in the trace": tangent("features", "sizes[i] * AC[:, i]", "AC[:, i]", MIXED),
    "antk: number of outputs in the trace": tangent(
        "features", "o**0.5 * merge_heads", "merge_heads", MIXED
    ),
    "antk: W_O of another head in the trace": tangent(
        "features", '"nhjci,hrc->nhjri", g, W)', '"nhjci,hrc->nhjri", g, W.flip(0))', MIXED
    ),
    "antk: W_O of another head in the trace of keys": tangent(
        "features", '"nhjca,hrc->nhjra", h, W)', '"nhjca,hrc->nhjra", h, W.flip(0))', MIXED
    ),
    "antk: chunks in another order": tangent(
        "features", "torch.cat([t.X for t in parts])", "torch.cat([t.X for t in parts[::-1]])", ANTK
    ),
    # --- the kernel: how it is written
    "antk: W_O of another output on one side": tangent(
        "panels", "W.mT.expand(R, o, u)", "W.flip(1).mT.expand(R, o, u)", MIXED
    ),
    "antk: outputs and tokens exchanged": tangent(
        "panels", "repeat_interleave(group", "repeat(group", ANTK
    ),
    "antk: the first columns for these": tangent(
        "panels",
        "X, X_other = t.X[rows], other.X[columns]",
        "X, X_other = t.X[rows], other.X[: columns.stop - columns.start]",
        ANTK,
    ),
    "antk: a mirror image in another place": tangent(
        "panels", "c0 + done, r0)", "c0 + done, 0)", ANTK
    ),
    "antk: the diagonal block doubled": tangent(
        "panels", "add_(gram.unsqueeze(-1))", "add_(2 * gram.unsqueeze(-1))", ANTK
    ),
    "antk: sums over another sequence's context": tangent(
        "panels",
        "torch.bmm(by_sequence, B_other.mT, out=out)",
        "torch.bmm(by_sequence, B_other.flip(0).mT, out=out)",
        ANTK,
    ),
    "antk: the first sequences for these": tangent(
        "panels",
        "slice(tokens.start // Y.length, tokens.stop // Y.length)",
        "slice(0, (tokens.stop - tokens.start) // Y.length)",
        ANTK,
    ),
    "antk: the other half not written": tangent(
        "closed_form", "tokens[there, :, here] if q is p else None", "None", ANTK
    ),
    "antk: something between heads": tangent(
        "closed_form",
        "first : first + u, :, :first].zero_()",
        "first : first + u, :, :first].fill_(1)",
        HEADS,
    ),
    "antk: delta forgotten under vmap": tangent("closed_form", "gram * same", "gram", ANTK),
    "antk: causal mask on one side": tangent(
        "arguments", "mask_other = mask\n", "mask_other = None\n", "antk-masked"
    ),
    "antk: a parameter left out by Jacobians": tangent(
        "routes",
        "right[name]) for name in weights)",
        "right[name]) for name in list(weights)[1:])",
        ANTK,
    ),
    "antk: products doubled": tangent(
        "routes",
        "return jvp(other, (weights,), pull_back(unit))[1]",
        "return 2 * jvp(other, (weights,), pull_back(unit))[1]",
        ANTK,
    ),
    "antk: mean over outputs for their sum": tangent(
        "routes",
        "block.diagonal(dim1=2, dim2=5).sum(-1)",
        "block.diagonal(dim1=2, dim2=5).mean(-1)",
        ANTK,
    ),
    # --- the kernel as an expression, and its derivatives
    "antk: size of W_O in the trace, as an expression": tangent(
        "features", "each = p.W_O.reshape(", "each = 2 * p.W_O.reshape(", MIXED
    ),
    "antk: sum over outputs doubled, as an expression": tangent(
        "kernel",
        "K = K.diagonal(dim1=2, dim2=5).sum(-1)",
        "K = 2 * K.diagonal(dim1=2, dim2=5).sum(-1)",
        ANTK,
    ),
    "antk: derivatives doubled": tangent(
        "differentiable",
        "[inputs[i] for i in wanted], gradient, create",
        "[inputs[i] for i in wanted], 2 * gradient, create",
        ANTK,
    ),
    # --- the operator
    "operator: scale": tangent("products", "D = p.scale * (", "D = 1.0 * (", ANTK),
    "operator: sign of the key block": tangent(
        "products", "dQ @ w.K.mT + w.Q @ dK.mT", "dQ @ w.K.mT - w.Q @ dK.mT", ANTK
    ),
    "operator: mean not subtracted": tangent(
        "products", "A * (D - (A * D).sum(-1, keepdim=True))", "A * D", ANTK
    ),
    "operator: value block missing": tangent("products", "D @ w.V + A @ dV", "D @ w.V", ANTK),
    "operator: output block missing": tangent(
        "products", "return mixed + torch.einsum(", "return mixed + 0 * torch.einsum(", MIXED
    ),
    "operator: the last block only": tangent(
        "operator", "total[name] + part[name] if total", "part[name] if total", ANTK
    ),
    "operator: W_O of another output on the diagonal": tangent(
        "operator", '"tce,cx,ex->tx", total, W, W)', '"tce,cx,ex->tx", total, W, W.flip(1))', MIXED
    ),
    "operator: value block of the diagonal": tangent(
        "operator", "total + gram * same", "total + 2 * gram * same", ANTK
    ),
    "operator: diagonal of the rows with themselves": tangent(
        "operator",
        "columns = rows if q is p else features(q, trace_outputs=False)",
        "columns = rows",
        ANTK,
        CROSS,
    ),
    "operator: trace doubled": tangent(
        "operator", "return self.diagonal().sum(", "return 2 * self.diagonal().sum(", ANTK
    ),
    # --- the oracle
    "scale of the oracle": oracles("/ math.sqrt(q.shape[-1])", "", OMEGA),
    "scale of the loops": oracles("inner / math.sqrt(d_h)", "inner", "self-attention"),
    "mask of the oracle turned": oracles("here.logical_not()", "here", "masked-gradients"),
    "head columns of the oracle": oracles(
        "x[..., h * width : (h + 1) * width]", "x[..., h :: width]", "multi-head-gradients"
    ),
    "step of the differences": oracles(
        "(f_above - f_below) / width", "(f_above - f_below) / (2 * width)", OMEGA
    ),
    # --- derivations
    "factor of a closed form": derivation(
        "query_gradient", "own_features = scale()", "own_features = 2 * scale()", OMEGA
    ),
    "another entry differentiated by": derivation(
        "query_gradient",
        "any_output = derivative(output(j, c), W_Q[a, i])",
        "any_output = derivative(output(j, c), W_Q[i, a])",
        OMEGA,
    ),
    "both sides the same, and wrong": derivation(
        "query_gradient",
        "IDENTITIES = [",
        "own_features *= 2\nany_output = own_features * covariance(c)\n\nIDENTITIES = [",
        OMEGA,
    ),
    "scale in the kernel's closed form": derivation(
        "tangent_kernel", "own / width * tokens", "own * tokens", TRANSPOSED
    ),
    "tokens for queries in the kernel": derivation(
        "tangent_kernel", "own / width * queries", "own / width * tokens", TRANSPOSED
    ),
    "sign of the flow": derivation(
        "tangent_expansion",
        "return -eta * over_outputs",
        "return eta * over_outputs",
        "kernel-from-gradients",
    ),
    "power in a sum": derivation("recurrent", "w ** (L - j - 1))", "w ** (L - j))", RECURRENT),
    # --- symbols
    "everything is proved": symbols("normal_form", "return not terms", "return True", RECURRENT),
    "nothing is proved": symbols("normal_form", "return not terms", "return False", RECURRENT),
    "a term is dropped": symbols(
        "rules", "in sorted(found.items()) if q]", "in sorted(found.items())[1:] if q]", RECURRENT
    ),
    "the power rule without its factor": symbols(
        "attention", "return node.exp * inside * Pow", "return inside * Pow", RECURRENT
    ),
    "the chain rule without the inner derivative": symbols(
        "attention", "return Mul(inside, node) if", "return node if", OMEGA
    ),
    "the second sequence at the row of the first": symbols(
        "pairs", "M: M2, j: j2,", "M: M2,", TRANSPOSED
    ),
    "mutants that are none": symbols("mutants", "rebuild(2 * node)", "rebuild(node)", RECURRENT),
    "a sum evaluated without its last addend": symbols(
        "evaluation", "self.whole(high) + 1)", "self.whole(high))", RECURRENT
    ),
    # --- the truth reversed: Proposition 4
    "the paper's inequality as a repair": paper(
        "sufficient_reduction_repairs",
        '"falls by the sharp mean", "grams", "falls by the sharp mean, one per cent more"',
        '"loss falls by the mean", "grams", "falls by the sharp mean, one per cent more"',
        SHARP,
    ),
    "the paper's inequality as the library's repair": Edit(
        "ntteach/bounds/rates.py", "c = ratio**2 / h", "c = p.bound / 2", (SHARP,)
    ),
    "the paper's constant as an identity": derivation(
        "sufficient_reduction", "-eta / sum_of_c *", "-eta * gamma / 2 *", SHARP
    ),
    "what is true recorded as refuted": paper(
        "sufficient_reduction_proof",
        'expected=record("verified"),\n        found="Holds, with equality where g\' = g / 2."',
        'expected=record("refuted"),\n        found="Fails."',
        "square-dropped",
    ),
    "what is refuted recorded as verified": paper(
        "sufficient_reduction_proof",
        'expected=record("refuted"),\n        found="Entries of g have signs.',
        'expected=record("verified"),\n        found="Entries of g have signs.',
        "square-bounded-by-the-sum",
    ),
    "a true step with a case of its own": paper(
        "sufficient_reduction_proof",
        'K=_EYE, g=[1, -1]),\n    ),\n    Claim(\n        key="square-bounded-by-eigenvalue"',
        'K=_EYE, g=[1, 1]),\n    ),\n    Claim(\n        key="square-bounded-by-eigenvalue"',
        "square-bounded-by-the-sum",
    ),
    "a case with a rate above the bound": paper(
        "sufficient_reduction",
        "**_TOKENS,\n            g=[1, 1],",
        '**_TOKENS,\n            g=[1, 1],\n            eta="1/4",',
        "sufficient-loss-reduction",
    ),
    "a case whose kernel is singular": paper(
        "sufficient_reduction_proof",
        '"replay_square_replaced_by_its_bound", K=_EYE,',
        '"replay_square_replaced_by_its_bound", K=[[1, 1], [1, 1]],',
        "square-replaced-by-its-bound",
    ),
    "a case with a loss that is not smooth enough": paper(
        "sufficient_reduction_proof",
        "residuals=[1, -3],\n            delta=2,",
        'residuals=[1, -3],\n            delta=2,\n            tau="9/10",',
        "smooth-within-the-form",
    ),
    "hypotheses that are always met": evidence(
        "reduction_numbers", "bool(low >= 0)", "True", "square-bounded-by-the-sum"
    ),
    "a decrease one per cent too good": evidence(
        "reduction_repair_laws", "part = 1 - length / 2", "part = 1.01 - length / 2", QUARTERS
    ),
    "a decrease of learners one per cent too good": evidence(
        "reduction_learners",
        "right = -times * (1 - length / 2)",
        "right = -1.01 * times * (1 - length / 2)",
        LIMIT,
    ),
    "a mean one per cent too good": evidence(
        "reduction_condition_laws",
        "right = -times * case.eta / reciprocal(case.K)",
        "right = -1.01 * times * case.eta / reciprocal(case.K)",
        SHARP,
    ),
    "a rate of convergence one per cent too good": evidence(
        "reduction_learners", "math.exp(-2 * times", "math.exp(-2.02 * times", CONVERGENCE
    ),
    "three quarters one per cent too good": derivation(
        "sufficient_reduction",
        "-Rational(3, 4) * eta / r * spectral_form,",
        "-Rational(303, 400) * eta / r * spectral_form,",
        QUARTERS,
    ),
    "a learner with half its rate": Edit(
        "ntteach/rkhs/learner.py", "-self.eta / len(S)", "-self.eta / 2 / len(S)", (MODES,)
    ),
    # --- kernels, functions, losses, learners, bounds
    "a polynomial of one degree more": rkhs(
        "pointwise", "** self.degree", "** (self.degree + 1)", "sequence-kernels"
    ),
    "a Laplace kernel of squares": rkhs(
        "pointwise",
        "torch.where(equal, 0.0, distances)",
        "torch.where(equal, 0.0, squares)",
        "sequence-kernels-sampled",
    ),
    "an alignment kernel that is not safe": rkhs(
        "alignment",
        "torch.log(2 - exponents.exp())",
        "torch.log(3 - exponents.exp())",
        "sequence-kernels-sampled",
    ),
    "a signature of tuples in one sequence": rkhs(
        "signatures", ".cumsum(-1).cumsum(-2)[", ".cumsum(-1)[", "sequence-kernels"
    ),
    "outputs of a kernel in another order": rkhs(
        "outputs", "self.B[:, None, :]", "self.B.flip(0)[:, None, :]", "sequence-kernels"
    ),
    "inner products of sizes": rkhs(
        "functions",
        "(f.coefficients * g(f.centres)).sum()",
        "(f.coefficients * g(f.centres)).abs().sum()",
        "span-inner-product",
    ),
    "evaluation at another output": rkhs(
        "functions",
        "coefficients.view(-1)[output] = 1",
        "coefficients.view(-1)[-1] = 1",
        "reproducing-property",
    ),
    "half the gradient of the squared norm": rkhs(
        "functionals", "return 2 * f\n", "return 1 * f\n", "frechet-derivative"
    ),
    "a step that is not averaged": rkhs(
        "learner", "-self.eta / len(S) * g", "-self.eta * g", "functional-gradient-descent"
    ),
    "a slow reference of one level less": oracles(
        "for m in range(depth + 1)", "for m in range(depth)", "sequence-kernels"
    ),
    "the logistic gradient of the other label": losses(
        "-y * torch.sigmoid(-y * f)", "-y * torch.sigmoid(y * f)", "loss-smoothness"
    ),
    "a smoothness one per cent too good": losses(
        '"logistic",\n        0.25,', '"logistic",\n        0.2475,', "loss-smoothness"
    ),
    "an absolute loss called smooth": losses(
        '"absolute", math.inf', '"absolute", 1.0', "loss-smoothness-is-needed"
    ),
    "the choice of the smallest": rkhs(
        "teachers",
        "return scores.sort(descending=True",
        "return scores.sort(descending=False",
        "residual-selection",
    ),
    "scores that cancel": rkhs(
        "teachers",
        "return r.norm(dim=-1)\n",
        "return r.sum(dim=-1).abs()\n",
        "gradient-selection",
    ),
    "a subset's bound with the other sign": bounds(
        "subset", "(weight - against)", "(weight + against)", "subset-step-bound"
    ),
    "a subset's bound one per cent too good": bounds(
        "subset", "(weight - against)", "(weight - 0.99 * against)", "subset-step-bound"
    ),
    "an exact rate with another normaliser": bounds(
        "problem",
        "return (self.g @ velocity).item() / self.P",
        "return (self.g @ velocity).item() / 2 / self.P",
        "exact-loss-rate",
    ),
    # --- the truth reversed: Theorem 3, the greedy choice
    "two starts that do not move": paper(
        "kernel_limit",
        "gaps=[[1, 1]],\n            **_ONES,",
        "gaps=[[0, 1]],\n            **_ONES,",
        "antk-convergence",
    ),
    "a factor that changes no kernel": paper(
        "kernel_limit", "factor=2,", "factor=-1,", "antk-of-the-function"
    ),
    "a law of limits that always fails": evidence(
        "limit_laws", "is_nothing(brackets[0]),", "False,", "bracket-vanishes"
    ),
    "a sum that is not conserved": derivation(
        "kernel_limit",
        "flowing(gram(W_Q), W_Q), flowing(gram(W_K), W_K)",
        "flowing(gram(W_Q), W_Q), -flowing(gram(W_K), W_K)",
        "antk-limit-conserved",
    ),
    "smooth losses one per cent too good": evidence(
        "limit_samples", '"squared": 1.0', '"squared": 0.99', "loss-derivative-at-least-value"
    ),
    "a ranking one per cent too good": evidence(
        "selection_orders", 'up_to="1")', 'up_to="101/100")', "strong-convexity-ranking"
    ),
    "a greedy rate one per cent too good": evidence(
        "selection_descent",
        '"steps contract": steps_contract,',
        '"steps contract": partial(steps_contract, better="101/100"),',
        "greedy-converges",
    ),
    "an algorithm with a step too many": evidence(
        "selection_descent", "while t <= last and", "while t <= last + 1 and", "algorithm-stops"
    ),
    "an optimum that is always reached": evidence(
        "space_learning_laws",
        "attained = at_most(reached, infimum)",
        "attained = True",
        "teaching-optimum-exists",
    ),
    # --- the teacher in a training loop
    "teacher: the smallest keys": teaching(
        "selection", "(keys > threshold).nonzero()", "(keys < threshold).nonzero()", "taught-choice"
    ),
    "teacher: hard selection turned": teaching(
        "choice",
        """("hard", "ntk"):
        keys = scores""",
        """("hard", "ntk"):
        keys = -scores""",
        "taught-choice",
        "choice-made-anew",
    ),
    "teacher: residuals in another norm": teaching(
        "scores",
        "vector_norm(residual.flatten(1), dim=1)",
        "vector_norm(residual.flatten(1), 1, dim=1)",
        "taught-choice",
    ),
    "teacher: a temperature without effect": teaching(
        "selection", "return phi / temperature", "return phi", "temperature-on-score"
    ),
    "teacher: a temperature on the noise": evidence(
        "teacher_laws",
        "score / temperature + one",
        "(score + one) / temperature",
        "temperature-on-score",
    ),
    "teacher: a mean over the padded length": teaching(
        "scores",
        "total / mask.sum(1).clamp(min=1) if reduce",
        "total / mask.shape[1] if reduce",
        "token-means-as-scores",
    ),
    "teacher: nothing is learned by a step": evidence(
        "teacher_laws",
        "eta = 0 * case.eta if still else case.eta",
        "eta = 0 * case.eta",
        "choice-made-once",
    ),
    # --- numbers as printed
    "reported: two digits of a time exchanged": evidence(
        "reported_rows", "213±2 43.45", "231±2 43.45", "llm-mean-saving", "llm-time-per-sample"
    ),
    "reported: two digits of a figure exchanged": evidence(
        "reported_rows", '"12.78"', '"12.87"', "llm-average-saving", "llm-one-figure"
    ),
    "reported: a digit of a score": evidence(
        "reported_rows", "1302 92.5 52.7", "1302 92.3 52.7", "soft-best-in-each-schedule"
    ),
    "reported: the total for the mean": evidence(
        "reported_savings",
        '{"mean": mean, "total": total}',
        '{"mean": total, "total": mean}',
        "llm-average-saving",
        "llm-total-saving",
    ),
    "reported: rounding to a whole unit": evidence(
        "reported_rows", "Fraction(1, 2 * 10**decimals)", "Fraction(1, 10**decimals)", "vit-saving"
    ),
    "reported: the plus-minus ignored": evidence(
        "reported_numbers",
        "one.half + one.spread if spreads",
        "one.half if spreads",
        "llm-figures-within-spreads",
        "gains-mostly-within-spreads",
    ),
    "reported: an order turned": evidence(
        "reported_scores",
        "at_most(b + bar, a) if or_equal",
        "at_most(a, b + bar) if or_equal",
        "every-schedule-saves",
        "better-on-all-tasks",
    ),
    "reported: no epoch on all data": evidence(
        "reported_costs",
        "(1 + (epochs - 1) * kept / 100) / epochs",
        "kept / 100",
        "llm-time-per-sample",
    ),
    "reported: intervals that do not reach the last": evidence(
        "reported_costs", "* cycle // (cycles - 1)", "* cycle // cycles", "published-schedule-cost"
    ),
    "reported: scoring for nothing": evidence(
        "reported_costs",
        "return on_all + chosen + passes * ",
        "return on_all + chosen + 0 * ",
        "published-schedule-cost",
    ),
    # --- ways of testing
    "all margins zero": checks("agree", "return worst\n", "return 0.0, worst[1]\n", RECURRENT),
    "no number is a margin": checks(
        "agree", "return math.inf if math.isnan(worst) else worst", "return math.nan", RECURRENT
    ),
    "the search finds nothing": checks(
        "search", "return rung\n", "return None\n", "equal-length-mean"
    ),
    "the search finds what holds": checks(
        "search", "law(case) is False", "law(case) is True", MEAN
    ),
    "one slope for all": checks(
        "trend",
        "Slope(slope, slope - half, slope + half)",
        "Slope(1.0, 1.0, 1.0)",
        "gradient-flow-limit",
    ),
    "the replay refutes everything": Edit(
        "ntteach/paper/evidence/arithmetic.py", "not finding.holds\n", "True\n", (MEAN,)
    ),
}


# A process that has loaded the libraries, and none of this package, forks for each command: what
# is forked is as fresh as `python -m ntteach` and starts in a third of the time.
SERVER = """
import json, os, runpy, sys
import hypothesis.extra.numpy, sympy, torch, torch._dynamo, torch.func
torch.func.jacfwd(torch.softmax, argnums=0)(torch.ones(2), -1)  # loads torch's forward rules
for line in sys.stdin:
    folder, *argv = json.loads(line)
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{folder}/{stream}", os.O_CREAT | os.O_WRONLY), stream)
        os.chdir(folder)
        sys.path.insert(0, folder)
        sys.argv = argv
        runpy.run_module("ntteach", run_name="__main__", alter_sys=True)
        os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    # a graphics device would start threads, which no fork survives
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def planted(edit: Edit, folder: Path) -> list[str]:
    """Make the edit in a copy, and give the command that verifies its claims there."""
    # compiled files come along and stay valid, but for the file that is edited
    shutil.copytree(PACKAGE, folder / "ntteach")
    shutil.copytree(SCRIPTS, folder / "derivations")
    file = folder / edit.file
    source = file.read_text(encoding="utf-8")
    assert source.count(edit.old) == edit.times, "the source has changed: write this edit anew"
    file.write_text(source.replace(edit.old, edit.new), encoding="utf-8")
    return ["ntteach", "verify", *edit.moved, "--json", "--jobs", "1"]


def run(server: subprocess.Popen[str], folder: Path, command: list[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `python -m ...` in a folder."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([str(folder), *command]) + "\n")
    server.stdin.flush()
    status = int(server.stdout.readline())
    return status, (folder / "1").read_text(), (folder / "2").read_text()


@pytest.mark.parametrize("name", EDITS)
def test_a_planted_error_moves_its_claims(name: str, tmp_path: Path, server: subprocess.Popen[str]):
    status, told, complaint = run(server, tmp_path, planted(EDITS[name], tmp_path))
    assert status == 1, complaint or told[-2000:]
    assert set(json.loads(told)["summary"]["moved"]) >= set(EDITS[name].moved)


def test_without_an_error_nothing_moves(tmp_path: Path, server: subprocess.Popen[str]):
    nothing = Edit("ntteach/gradients.py", "p.scale * rows", "p.scale * rows", (OMEGA,))
    status, told, complaint = run(server, tmp_path, planted(nothing, tmp_path))
    assert status == 0, complaint
    assert json.loads(told)["summary"]["moved"] == []


def test_the_command_itself_says_so(tmp_path: Path):
    command = planted(EDITS["sign of the query gradient"], tmp_path)
    answer = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 1, answer.stderr
    assert json.loads(answer.stdout)["summary"]["moved"] == [OMEGA]


def test_a_stale_edit_is_told(tmp_path: Path):
    stale = Edit("ntteach/gradients.py", "no such line", "", (OMEGA,))
    with pytest.raises(AssertionError, match="write this edit anew"):
        planted(stale, tmp_path)


def test_edits_are_about_claims_that_exist():
    assert {key for edit in EDITS.values() for key in edit.moved} <= set(registry)
