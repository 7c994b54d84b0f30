"""Section 4.1, after Eq. 12: the number omega, "importance", and what becomes of it."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, closed_form, proved, refuted, searched

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_AFTER_12 = "Section 4.1, paragraph on the scalar in Eq. 11"
_EYE = [[1, 0], [0, 1]]

CLAIMS = (
    Claim(
        key="importance-element-specific",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="The scalar in Eq. 11 is specific to each element.",
        encoded="There are sequences in which two elements have different omega. (Equal elements "
        "always have equal omega.)",
        checks=(
            check(
                "two elements, two values",
                "exact",
                "sentences:exists",
                law="importance is shared",
                given={"S": [[0], [1]], **_ONES},
                controls={
                    "equal elements": {"S": [[1], [1]], **_ONES},
                    "one element": {"S": [[1]], **_ONES},
                },
            ),
            check(
                "the search finds such a sequence",
                "search",
                "sentences:search_finds",
                law="importance is shared",
                domain="plain",
                controls=("importance vanishes", "query rows are multiples"),
            ),
        ),
        expected=record("verified"),
        found="It differs between elements: 1/4 and 2/9 for the elements 0 and 1.",
        requires=("query-gradient",),
    ),
    Claim(
        key="importance-one-per-element",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="There is one scalar for each element.",
        encoded="omega_j in Eq. 11 does not depend on the column i of W_Q.",
        checks=refuted("one value per element", "plain", "importance vanishes"),
        expected=record("refuted"),
        found="Each column i has its own covariance: an element has d values, and with v outputs "
        "d v.",
        counterexample=case(
            "importance_laws:replay_one_value_per_element",
            S=_EYE,
            W_Q=_EYE,
            W_K=[[1, 0], [0, 2]],
            W_V=[[1], [0]],
        ),
    ),
    Claim(
        key="importance-per-feature-and-output",
        number="Eq. 11",
        kind="repair",
        locus=_AFTER_12,
        statement="There is one scalar for each element, key column and output column.",
        encoded="omega_jci = sum_k A_jk K_ki (V_kc - f_jc), and the query gradient is "
        "d_k^-1/2 S_ja omega_jci, for all L, d, d_k, v.",
        checks=(
            proved("query_gradient", "(11) covariance form, any v", block="W_Q"),
            *closed_form("W_Q", "self"),
        ),
        expected=record("verified"),
        found="`ntteach.importance` returns all of them, (L, v, d_k).",
        requires=("self-attention",),
        repairs="importance-one-per-element",
        derivation="derivations/query_gradient.py",
    ),
    Claim(
        key="importance-nonnegative",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="The scalar is the importance that attention assigns to an element; first "
        "reading: like an attention weight, it is not negative.",
        encoded="omega_j^(i) >= 0 for all j, i.",
        checks=refuted("importance is nonnegative", "plain", "importance vanishes"),
        expected=record("refuted"),
        found="A covariance has either sign: values opposite to keys make it negative.",
        counterexample=case(
            "importance_laws:replay_importance_is_nonnegative",
            S=[[0], [1]],
            W_Q=[[1]],
            W_K=[[1]],
            W_V=[[-1]],
        ),
    ),
    Claim(
        key="importance-normalised",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="The scalar is the importance that attention assigns; second reading: like "
        "attention weights, the values of a sequence sum to one.",
        encoded="sum_j omega_j^(i) = 1 for each i.",
        checks=refuted("importance is normalised", "plain", "importance vanishes"),
        expected=record("refuted"),
        found="It scales with keys and values, and is zero for a sequence of one element.",
        counterexample=case(
            "importance_laws:replay_importance_is_normalised", S=[[0], [1]], **_ONES
        ),
    ),
    Claim(
        key="attention-weights-normalised",
        number="Eq. 2",
        kind="repair",
        locus=_AFTER_12,
        statement="What is positive and sums to one is the attention weights of a row, not the "
        "scalars in the gradient.",
        encoded="sum_k A_jk = 1 and A_jk >= 0 for every row j; no such law holds for columns.",
        checks=(
            proved("definition", "(2) weights of a row sum to one"),
            searched("weights are normalised", "plain", "columns are normalised"),
        ),
        expected=record("verified"),
        found="How much row j attends to element k is A_jk; it enters the gradient as the "
        "distribution under which omega is a covariance.",
        requires=("self-attention",),
        repairs="importance-normalised",
        derivation="derivations/definition.py",
    ),
    Claim(
        key="importance-grows",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="The scalar is the importance that attention assigns; third reading: where "
        "attention gets more selective, it does not fall.",
        encoded="If W_Q is multiplied by a factor above 1 and the largest weight of row j grows, "
        "|omega_j^(i)| does not fall for any i.",
        checks=refuted("importance grows", "sharpen", "importance vanishes"),
        expected=record("refuted"),
        found="It falls to zero as attention selects one element; before that it may rise or fall.",
        counterexample=case(
            "importance_laws:replay_importance_grows", S=[[0], [1]], **_ONES, sharpen=2
        ),
    ),
    Claim(
        key="importance-covariance",
        number="Eq. 11",
        kind="repair",
        locus=_AFTER_12,
        statement="The scalar is the covariance, under the attention of row j, of key column i "
        "with the values.",
        encoded="omega_j^(i) = sum_k A_jk K_ki (V_k - f_j) = E[K V] - E[K] E[V] for all L, d; "
        "constants added to keys or values change nothing, and with W_Q = 0 it is the plain "
        "covariance.",
        checks=(proved("importance", ""), *closed_form("W_Q", "self")),
        expected=record("verified"),
        found="It measures how keys and values vary together where row j looks.",
        requires=("self-attention",),
        repairs="importance-nonnegative",
        derivation="derivations/importance.py",
    ),
    Claim(
        key="importance-vanishes",
        number="Eq. 11",
        kind="repair",
        locus=_AFTER_12,
        statement="The scalar is at most the attention outside the most attended element, times "
        "the ranges of the keys and of the values.",
        encoded="|omega_j^(i)| <= (1 - max_k A_jk) range(K_i) range(V), by Cauchy-Schwarz. The "
        "search looks for a case against it; the argument is in the law's docstring.",
        checks=(searched("importance vanishes", "plain", "importance vanishes quadratically"),),
        expected=record("supported"),
        found="Selective attention has a small scalar, whatever it selects.",
        requires=("importance-covariance",),
        repairs="importance-grows",
    ),
    Claim(
        key="unit-importance-linear-layer",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="With all importance values 1, the gradient is that of a linear layer on the "
        "elements as a batch.",
        encoded="In every problem with omega_j^(i) = 1 for all j, i, each row of each block is its "
        "own element, up to one positive factor for each column.",
        # a search would not come upon omega = 1
        checks=(check("the stored counterexample, replayed", "exact", "sentences:stored"),),
        expected=record("refuted"),
        found="omega = 1 leaves the value and key rows as combinations of all elements.",
        counterexample=case(
            "importance_laws:replay_unit_importance",
            S=[[1, 1], [-1, 1]],
            W_Q=[["1/4", "1/4"], [0, 0]],
            W_K=[[1, 1], [0, 0]],
            W_V=[["9/8"], [0]],
        ),
    ),
    Claim(
        key="unit-importance-query-block",
        number="Section 4.1",
        kind="repair",
        locus=_AFTER_12,
        statement="With importance 1 in Eq. 11, the query block is d^-1/2 times the gradient of "
        "the linear layer S W.",
        encoded="d^-1/2 S_j 1 = d^-1/2 d(S W)_ji / dW_(:,i), for every j, i; the factor stays.",
        checks=(
            proved("linear_layer", ""),
            check("against autograd of the layer", "autograd", "contrasts:linear_layer"),
        ),
        expected=record("verified"),
        found="True of the query block alone, and up to the factor.",
        requires=("query-gradient",),
        repairs="unit-importance-linear-layer",
        derivation="derivations/linear_layer.py",
    ),
)
