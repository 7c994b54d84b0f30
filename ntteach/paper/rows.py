"""Section 4.1 and Appendix A.3: what a row of the gradient consists of."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, closed_form, proved, refuted, searched

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_EYE = [[1, 0], [0, 1]]

CLAIMS = (
    Claim(
        key="key-value-rows-similar",
        number="Section 4.1",
        kind="sentence",
        locus="Section 4.1, after Eq. 12",
        statement="What is said of the query gradient holds similarly for the key and the value "
        "gradient; first reading: a row is a number times its own element.",
        encoded="As Eq. 11 has it: row j of each column of the key and the value block is a number "
        "times the own element S_j.",
        checks=refuted(
            "key and value rows are multiples", "two columns", "query rows are multiples"
        ),
        expected=record("refuted"),
        found="Those rows mix all elements. (They do follow the order of the elements, see "
        "gradient-equivariance.)",
        counterexample=case(
            "row_laws:replay_rows_are_multiples", S=_EYE, W_Q=_EYE, W_K=_EYE, W_V=[[1], [0]]
        ),
    ),
    Claim(
        key="key-value-closed-forms",
        number="Section 4.1",
        kind="sentence",
        locus="Section 4.1, after Eq. 12",
        statement="What is said of the query gradient holds similarly for the key and the value "
        "gradient; second reading: they have closed forms of the same kind.",
        encoded="Eqs. 10 and 12 for all L, d, d_k, v: means, under row j of the attention, of the "
        "elements or of their products with the values.",
        checks=(
            proved("value_gradient", "(10) any v, softmax form", block="W_V"),
            proved("key_gradient", "(12) covariance form, any v", block="W_K"),
            *closed_form("W_V", "self"),
            *closed_form("W_K", "self"),
        ),
        expected=record("verified"),
        found="In this reading the sentence holds.",
        requires=("self-attention",),
        derivation="derivations/key_gradient.py",
    ),
    Claim(
        key="key-value-rows-mix",
        number="Section 4.1",
        kind="repair",
        locus="Section 4.1, after Eq. 12",
        statement="A value row is a mean of all elements, a key row a combination of all elements "
        "with coefficients that sum to zero.",
        encoded="Value row j: sum_k A_jk S_k. Key row j, column i: d^-1/2 Q_ji sum_k A_jk (V_k - "
        "f_j) S_k. For all L, d, v.",
        checks=(
            proved("value_gradient", "(10) any v, softmax form", block="W_V"),
            proved("key_gradient", "(12) covariance form, any v", block="W_K"),
            proved("definition", "(2) weights of a row sum to one"),
            proved("importance", "deviations from the mean"),
            searched(
                "rows mix elements",
                "two columns",
                "rows hold their own element",
                "rows mix elements, W_K spoiled",
                "rows mix elements, W_V spoiled",
            ),
        ),
        expected=record("verified"),
        found="Attention enters the three blocks in three different ways.",
        requires=("self-attention",),
        repairs="key-value-rows-similar",
        derivation="derivations/key_gradient.py",
    ),
    Claim(
        key="gradient-decomposes",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, paragraph after Eq. 55",
        statement="The gradient of a sequence decomposes into one part for each element.",
        encoded="The gradient of the averaged loss is the average over j of G_j df_j / dW, and "
        "each df_j / dW is Eq. 10, 11 or 12 with row j of the attention, for all L, d. The average "
        "is symbolic for the squared loss, sampled for two others.",
        checks=(
            proved("training", "(6)-(7)"),
            proved("value_gradient", "(26)-(28), (10) softmax", block="W_V", form="scalar"),
            proved("query_gradient", "(11) covariance form, v = 1", block="W_Q", form="scalar"),
            proved("key_gradient", "(12) covariance form, v = 1", block="W_K", form="scalar"),
            check("the sum of the parts against autograd", "autograd", "training:product"),
        ),
        expected=record("verified"),
        found="One part for each element; every part needs all keys and values.",
        requires=("self-attention",),
        derivation="derivations/training.py",
    ),
    Claim(
        key="gradient-rows-independent",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, paragraph after Eq. 55",
        statement="The gradient of a sequence resembles that of a batch of independent vectors.",
        encoded="Strictly: row j of the gradient does not change when another element does.",
        checks=refuted("rows depend on own element", "other", "query rows are multiples"),
        expected=record("refuted"),
        found="Every row depends on every element, through keys and values.",
        counterexample=case(
            "row_laws:replay_rows_depend_on_own_element",
            S=[[0], [1]],
            **_ONES,
            changed=1,
            other=[2],
        ),
    ),
    Claim(
        key="gradient-rows-given-context",
        number="Appendix A.3",
        kind="repair",
        locus="Appendix A.3, paragraph after Eq. 55",
        statement="Given the keys and values, the gradient of row j depends on its own element "
        "only.",
        encoded="Cross-attention with a fixed context: the closed forms of row j hold no other "
        "row of S, for all sizes, and replacing another element leaves row j.",
        checks=(
            check(
                "row j sees its own element and the context",
                "symbolic",
                "identities:row_sees_own_element",
                derivation="cross_attention",
                names=("(23) cross-attention",),
            ),
            check(
                "other elements replaced, against autograd",
                "autograd",
                "contrasts:rows_given_context",
            ),
        ),
        expected=record("verified"),
        found="The elements are a batch for the queries; keys and values tie them together.",
        requires=("cross-attention", "cross-gradients"),
        repairs="gradient-rows-independent",
        derivation="derivations/cross_attention.py",
    ),
    Claim(
        key="sequence-property",
        number="Section 3",
        kind="sentence",
        locus="Section 3, notation; Eq. 6",
        statement="The learner of Eq. 2 also learns properties of a whole sequence, one number "
        "each.",
        encoded="For L >= 2 and v = 1, a loss between the output of Eq. 2 and one number.",
        checks=(
            check("shapes of output and property", "exact", "definitions:property_is_undefined"),
        ),
        expected=record("vacuous"),
        found="Eq. 2 gives a number for each element; a property of the sequence needs a readout, "
        "which the paper does not define.",
    ),
    Claim(
        key="mean-readout-gradient",
        number="Section 3",
        kind="repair",
        locus="Section 3, notation; Eq. 6",
        statement="With the mean over elements as a readout, the gradient is the mean of the rows.",
        encoded="For all L, d, v; its loss is defined, and it does not see the order.",
        checks=(
            proved("equivariance", "mean over rows"),
            check("against autograd of the readout", "autograd", "contrasts:readout_gradient"),
            check("mean_readout with lengths against loops", "loops", "sequences:readout"),
        ),
        expected=record("verified"),
        found="One choice of readout; `ntteach.mean_readout`.",
        requires=("self-attention",),
        repairs="sequence-property",
        derivation="derivations/equivariance.py",
    ),
)
