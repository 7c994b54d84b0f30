"""Proposition 4 (Eq. 19): how much the loss is said to fall, and the sentence after it."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, equations, refuted

_EQ19 = equations("19")
_LAWS = "reduction_laws:"
_EYE = [[1, 0], [0, 1]]
_TOKENS = {"W_Q": _EYE, "W_K": _EYE, "W_V": [[1], [1]]}
_DERIVATION = "derivations/sufficient_reduction.py"
_AFTER = "Section 4.2, sentence after Proposition 4"
_STEPS = (
    "convexity-bounds-the-change",
    "gradients-in-the-space",
    "next-gradient-split",
    "next-gradient-expanded",
    "square-dropped",
    "smooth-within-the-form",
    "square-bounded-by-the-sum",
    "square-replaced-by-its-bound",
    "change-bounded-by-the-sum",
    "reduction-combined",
    "half-is-left",
)


CLAIMS = (
    Claim(
        key="sufficient-loss-reduction",
        number="Proposition 4",
        kind="proposition",
        locus="Section 4.2, Proposition 4; its proof is Appendix B.2",
        statement="For a convex loss that is smooth with tau, a canonical kernel bounded by gamma "
        "and a learning rate up to 1 / (2 tau gamma), the loss falls at the rate of eta gamma / 2 "
        "times the square of the mean loss gradient, or faster.",
        encoded="The averaged loss of n outputs in function space: df/dt = -(eta / n) K g, so that "
        "dL/dt is the mean of g df/dt. Supposed: K symmetric and positive definite on the "
        "sequences at hand; gamma its largest entry, the least bound there, since the right side "
        "grows with gamma; tau tight as well (squared loss, tau = 1); eta = 1 / (2 tau gamma). "
        "Claimed: dL/dt <= -(eta gamma / 2) (mean g)^2, for every g. For a convex loss no step "
        "lowers L by more than its derivative says, so that what refutes it for derivatives does "
        "for L+ - L. Sums in place of averages are `sufficient-loss-reduction-summed`.",
        checks=refuted(
            "loss falls by the mean",
            "grams",
            "falls by the least eigenvalue",
            "falls by the sharp mean",
            covers=_EQ19,
        ),
        expected=record("refuted", "refuted"),
        found="Two sequences of one token each, (1, 0) and (0, 2), have the tangent kernel "
        "diag(1, 4), as inner products of tokens. With both residuals 1 and eta = 1/8: "
        "df/dt = -(1/16, 1/4), dL/dt = -5/32, which is above -1/4. One output is no "
        "counterexample, unless gamma is a bound that is not the least (K = 1, gamma = 3). For "
        "K = gamma times the identity the first is n = 3, all residuals equal. The first step of "
        "the proof that fails is Eq. 69; Eqs. 70 to 73 fail as well.",
        paper_uses=_STEPS,
        derivation=_DERIVATION,
        counterexample=case(
            _LAWS + "replay_falls_by_the_mean",
            sequences=[[[1, 0]], [[0, 2]]],
            **_TOKENS,
            g=[1, 1],
        ),
    ),
    Claim(
        key="sufficient-loss-reduction-summed",
        number="Proposition 4",
        kind="proposition",
        locus="Section 4.2, Proposition 4",
        statement="The same, where the loss is a sum over outputs instead of an average.",
        encoded="As for the averaged loss, with L the sum of all losses, in both readings: the "
        "flow keeps its average, dL/dt = -(eta / n) g^T K g; or it is that of the sum, "
        "dL/dt = -eta g^T K g. The right side of Eq. 19 stays as it is printed, with the mean. "
        "Refuted if the case violates it in both readings.",
        checks=refuted(
            "loss falls by the mean, summed",
            "grams",
            "falls by the least eigenvalue",
            "falls by the sharp mean",
            covers=_EQ19,
        ),
        expected=record("refuted", "refuted"),
        found="The left side grows by n, or n^2, and the right side does not; it is still false. "
        "Tokens (1, 0) and (0, 3), residuals 5 and 1, eta = 1/18: -17/18 and -17/9, both above "
        "-9/4. (K = gamma times the identity refutes the averaged loss only.)",
        paper_uses=_STEPS,
        derivation=_DERIVATION,
        counterexample=case(
            _LAWS + "replay_falls_by_the_mean_summed",
            sequences=[[[1, 0]], [[0, 3]]],
            **_TOKENS,
            g=[5, 1],
        ),
    ),
    Claim(
        key="sufficient-loss-reduction-attention",
        number="Proposition 4",
        kind="proposition",
        locus="Section 4.2, Proposition 4",
        statement="The same for the kernel of a learner that does attend: sequences of two tokens "
        "or more, all different, and no weight matrix zero.",
        encoded="K is the tangent kernel of Eq. 2 by its exact Jacobian, labels are such that g "
        "are the residuals of the squared loss. Refuted if a case violates Eq. 19 averaged and in "
        "both readings of the sum. Random learners at initialisation are counted as well.",
        checks=(
            *refuted(
                "loss falls by the mean, any normalisation",
                "attention residuals",
                "falls by the sharp mean of a learner",
                covers=_EQ19,
            ),
            check(
                "how often random learners violate it",
                "sample",
                "reduction_learners:violated_by_learners",
                _EQ19,
            ),
        ),
        expected=record("refuted", "refuted"),
        found="One sequence of the tokens 0 and 1, W_Q = 3 log 2, W_K = W_V = 1: outputs 1/2 and "
        "8/9, and for the residuals 2 and -1 Eq. 19 fails in every normalisation. The kernel "
        "holds (log 2)^2; that log 2 < 7/10 decides. Random learners with definite kernels violate "
        "it about every second time; the check's detail prints the share with its interval.",
        requires=("self-attention",),
        paper_uses=_STEPS,
        derivation=_DERIVATION,
        counterexample=case(
            _LAWS + "replay_falls_by_the_mean_attention",
            sequences=[[[0], [1]]],
            W_Q=[[3]],
            W_K=[[1]],
            W_V=[[1]],
            g=[2, -1],
            eta="1/2",
        ),
    ),
    Claim(
        key="reduction-ensures-convergence",
        number="Section 4.2",
        kind="sentence",
        locus=_AFTER,
        statement="The right side of Eq. 19 is negative and caps how the loss changes, which "
        "ensures convergence; first reading: it is below zero until the loss is least.",
        encoded="For cases of Proposition 4 in which Eq. 19 is true of every g, which is to say "
        "that K - (gamma / 2) 1 1^T is semi-definite, and with g not zero, so that the convex "
        "loss is not least: the right side is below zero.",
        checks=refuted("bound is negative", "tied outputs", "falls by the least eigenvalue"),
        expected=record("refuted", "refuted"),
        found="It is zero wherever residuals cancel: K = the identity of two outputs, gamma = 1, "
        "residuals 1 and -1. Eq. 19 is true of every g there, and allows a loss that never falls.",
        paper_uses=("sufficient-loss-reduction",),
        derivation=_DERIVATION,
        counterexample=case(_LAWS + "replay_bound_is_negative", K=_EYE, g=[1, -1]),
    ),
    Claim(
        key="reduction-reaches-the-least-loss",
        number="Section 4.2",
        kind="sentence",
        locus=_AFTER,
        statement="The right side of Eq. 19 is negative and caps how the loss changes, which "
        "ensures convergence; second reading: the learner's loss falls as long as other "
        "parameters have a smaller one.",
        encoded="A learner under gradient flow on the squared loss, with its own tangent kernel, "
        "which is semi-definite (`kernel-semidefinite`) and not zero, and eta within the bound. "
        "Where residuals lie in the null space of K, no parameter moves; then the kernel does not "
        "change either, and what is found at one moment stays.",
        checks=refuted(
            "learner goes on", "residuals at rest", "falls by the sharp mean of a learner"
        ),
        expected=record("refuted", "refuted"),
        found="Three different tokens are enough, as for `kernel-positive-definite`: 0, 1, 2 with "
        "weights 1 and labels 5, 318/7 and -261/7 leave the residuals -4, -44 and 39, which no "
        "parameter moves; with W_Q doubled the loss is smaller.",
        requires=("self-attention",),
        paper_uses=("sufficient-loss-reduction",),
        counterexample=case(
            _LAWS + "replay_learner_goes_on",
            sequences=[[[0], [1], [2]]],
            W_Q=[[1]],
            W_K=[[1]],
            W_V=[[1]],
            g=[-4, -44, 39],
            eta="1/8",
            better={"W_Q": [[2]], "W_V": [[1]]},
        ),
    ),
)
