"""Theorem 3 (Eq. 18) in its readings, and the sentence after it on convex functionals."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, equations, proved, refuted

_THEOREM, _DERIVATION = "Section 4.2, Theorem 3", "derivations/kernel_limit.py"
_EQ18 = equations("18")
_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}


CLAIMS = (
    Claim(
        key="antk-convergence",
        number="Theorem 3",
        kind="theorem",
        locus=_THEOREM,
        statement="For a convex loss and a training set, the tangent kernel of an attention "
        "learner that is trained by gradient descent converges pointwise to the canonical kernel, "
        "K_theta^t(S_i, .) to K(S_i, .) for every training sequence.",
        encoded="As written: K is given before the run and is the same for every start. Under "
        "gradient flow on half the squared error, if the derivative of the loss vanishes, "
        "K_theta^t(S_i, .) has the same limit from every start, at every second argument. The "
        "exact case trains on one token: W_V alone moves and the run is known for all t.",
        checks=(
            *refuted(
                "limit is one",
                "one token and a probe",
                "limit is one for one function",
                covers=_EQ18,
            ),
            check("ends of runs from several starts", "trend", "limit_runs:limit_is_one"),
        ),
        expected=record("refuted", "refuted"),
        found="What a run tends to depends on its start: two starts with the same outputs on the "
        "training set, at every time, keep kernels 2/3 and 4/5 at one point. Each run of the "
        "numerical check settles, but two ends of one problem lie far apart.",
        paper_uses=(
            "evolution-equated",
            "evolution-rearranged",
            "parameter-velocity",
            "remainder-of-velocity",
            "loss-derivative-vanishes",
            "bracket-vanishes",
        ),
        counterexample=case(
            "limit_laws:replay_limit_is_one",
            training=[[[1], [1]]],
            gaps=[[1, 1]],
            **_ONES,
            other={"W_Q": [[2]]},
            probe=[[0], [1]],
        ),
    ),
    Claim(
        key="antk-limit-conserved",
        number="Theorem 3",
        kind="repair",
        locus=_THEOREM,
        statement="Gradient flow on any loss conserves C = W_Q^T W_Q - W_K^T W_K, so that the "
        "kernel a run tends to keeps a trace of the start.",
        encoded="For every loss gradient, mask and size, one head: the flow moves W_Q^T W_Q and "
        "W_K^T W_K alike. For d = d_k = v = 1 the query and key part of the kernel in the limit is "
        "q^2 + k^2 = sqrt(C^2 + 4 (q k)^2) times what the function determines. A finite step "
        "changes C by what is of second order in it.",
        checks=(
            proved("kernel_limit", "conserved", "one feature"),
            check("motion of W_Q^T W_Q, of W_K^T W_K", "autograd", "limit_conserved:conserved"),
        ),
        expected=record("verified"),
        found="Holds. Training cannot forget the start: where C differs, so does the limit.",
        requires=("self-attention",),
        repairs="antk-convergence",
        derivation=_DERIVATION,
    ),
    Claim(
        key="antk-settles",
        number="Theorem 3",
        kind="sentence",
        locus=_THEOREM,
        statement="For a convex loss whose derivative vanishes along the run, the kernel settles: "
        "K_theta^t(S_i, .) has a limit, which may depend on the start.",
        encoded="A weaker reading. The exact case is the logistic loss with labels 1 on one "
        "sequence, whose outputs grow together: dL/df tends to zero, but W_V grows without bound, "
        "as ds/dt = (eta / n) h(f) > 0 for the derivative -h(f) of the loss at every finite f.",
        checks=refuted("kernel settles", "one key", "value part of the kernel settles"),
        expected=record("refuted"),
        found="With a loss that falls for ever the parameters need not converge, nor the kernel: "
        "here one entry grows like the square of W_V. `antk-grows-with-values` says how this is "
        "from other starts.",
        counterexample=case(
            "limit_loss_laws:replay_kernel_settles",
            training=[[[2, 1], [0, 1]]],
            W_Q=[[1, 0], [-1, 0]],
            W_K=[[0, 0], [1, 0]],
            W_V=[[1], [0]],
        ),
    ),
    Claim(
        key="antk-grows-with-values",
        number="Theorem 3",
        kind="repair",
        locus=_THEOREM,
        statement="From random starts, where W_V grows without bound, the kernel grows like "
        "|W_V|^2 if labels conflict within a sequence, and stays of one size if they can be met, "
        "because attention sharpens.",
        encoded="The logistic loss on two sequences of two tokens, from normal starts: the slope "
        "of log |K| by log |W_V|. With conflicting labels no learner meets all of them, and dL/df "
        "does not vanish. Other sequences are not looked at.",
        checks=(check("order of |K| in |W_V|", "trend", "limit_growth:grows_with_values"),),
        expected=record("supported"),
        found="So it is in the runs looked at. The exact case above has labels that can be met, "
        "but starts where attention cannot sharpen: all keys are equal, and stay so.",
        requires=("self-attention",),
        repairs="antk-settles",
    ),
    Claim(
        key="antk-settles-with-parameters",
        number="Theorem 3",
        kind="repair",
        locus=_THEOREM,
        statement="Where the parameters of a run converge, its kernel converges to the kernel at "
        "their limit, at least as fast.",
        encoded="For features J and J' at any two points: K - K' = (J - J') J^T + J' (J - J')^T, "
        "so that |K - K'| is at most |J - J'| (|J| + |J'|), for all sizes. Features are smooth "
        "functions of the parameters. On runs, the order is a fitted slope.",
        checks=(
            proved("kernel_limit", "difference of two kernels"),
            check("kernels at two points", "autograd", "limit_samples:kernel_difference"),
            check("distance to the last kernel of a run", "trend", "limit_runs:settles"),
        ),
        expected=record("verified"),
        found="Holds, and says nothing about which kernel: its limit is that of the parameters.",
        requires=("self-attention",),
        repairs="antk-settles",
        derivation=_DERIVATION,
    ),
    Claim(
        key="antk-of-the-function",
        number="Theorem 3",
        kind="sentence",
        locus=_THEOREM,
        statement="The kernel that a run tends to is determined by the run as a function: two runs "
        "that are one function at every time tend to one kernel.",
        encoded="The weakest reading in which K belongs to functional gradient descent, which "
        "knows functions and no parameters. The second start has W_Q times c and W_K over c, and "
        "so the same W_Q W_K^T. The exact case trains on a repeated token of one feature and on "
        "tokens of the other, whose targets are met.",
        checks=refuted(
            "limit is one for one function",
            "two features",
            "value part of the limit is one for one function",
        ),
        expected=record("refuted"),
        found="Not even then: with c = 2 the two are one learner for every sequence at every time, "
        "and keep 9/32 and 33/128 in one entry of the kernel. No kernel given by functions is the "
        "limit of both.",
        counterexample=case(
            "limit_laws:replay_limit_is_one_for_one_function",
            training=[[[0, 1], [0, 1]], [[0, 0], [1, 0]]],
            gaps=[[1, 1], [0, 0]],
            W_Q=[[0, 0], [0, 1]],
            W_K=[[1, 0], [0, 1]],
            W_V=[[1], [1]],
            factor=2,
        ),
    ),
    Claim(
        key="balanced-limit",
        number="Theorem 3",
        kind="repair",
        locus=_THEOREM,
        statement="From balanced starts, W_Q^T W_Q = W_K^T W_K, the kernel is at every time a "
        "function of W_Q W_K^T and W_V, and runs that end in one such pair end in one kernel.",
        encoded="For all sizes: (W_Q W_Q^T)^2 = M M^T + W_Q C W_Q^T and (W_K W_K^T)^2 = M^T M - "
        "W_K C W_K^T, with M = W_Q W_K^T and the conserved C. At C = 0 the two are the positive "
        "semi-definite roots of M M^T and M^T M; the kernel sees W_Q and W_K through them and M.",
        checks=(
            proved("kernel_limit", "balanced"),
            check("kernels from M and W_V", "autograd", "limit_conserved:balanced_kernel"),
        ),
        expected=record("verified"),
        found="Holds: balance, which the flow conserves, is what ties the kernel to the function.",
        requires=("self-attention", "antk-limit-conserved", "wide-keys-kernel"),
        repairs="antk-of-the-function",
        derivation=_DERIVATION,
    ),
    Claim(
        key="convex-in-outputs",
        number="Section 4.2",
        kind="sentence",
        locus="Section 4.2, after Theorem 3",
        statement="A convex functional of the learner stays convex as one of its outputs, and is "
        "in general not convex in its parameters.",
        encoded="That it is convex in f is what a convex functional is. For half the squared "
        "error, half way between any two outputs it is the mean less an eighth of the square of "
        "their distance, for every number of outputs. In parameters, two learners are given half "
        "way between which it is above the mean.",
        checks=(
            proved("kernel_limit", "convex in outputs"),
            check(
                "two learners and the one half way",
                "exact",
                "sentences:exists",
                law="loss is convex in parameters",
                given={
                    "sequence": [[0], [1]],
                    "targets": [["1/2"], ["2/3"]],
                    **_ONES,
                    "other": {"W_Q": [[-1]], "W_K": [[-1]]},
                },
                controls={
                    "W_V alone differs": {
                        "sequence": [[0], [1]],
                        "targets": [["1/2"], ["2/3"]],
                        **_ONES,
                        "other": {"W_V": [[3]]},
                    },
                    "one token": {
                        "sequence": [[1]],
                        "targets": [[1]],
                        **_ONES,
                        "other": {"W_Q": [[-1]], "W_K": [[-1]]},
                    },
                },
            ),
            check(
                "search for other two",
                "search",
                "sentences:search_finds",
                law="loss is convex in parameters",
                domain="segments",
                controls=("loss is convex in values", "loss is convex in outputs"),
            ),
        ),
        expected=record("verified"),
        found="Holds: the loss is 0 at q = k = 1 and at q = k = -1, which are one function, and "
        "1/72 half way, at q = k = 0. In W_V alone it is convex.",
        requires=("self-attention",),
        derivation=_DERIVATION,
    ),
)
