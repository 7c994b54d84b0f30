"""Appendix A.3: masked, cross- and multi-head attention, vector outputs, and their gradients."""

from ntteach.claims.model import Check, Claim, record
from ntteach.paper.declare import check, closed_form, contracted, equations, exact_entries, proved

_EQ23 = equations("23")
_NAMES = {"W_V": "value", "W_Q": "query", "W_K": "key"}


def _all_blocks(derivation: str, beginning: str, form: str) -> tuple[Check, ...]:
    """Every block symbolically, tied to autograd, and numerically."""
    checks: list[Check] = []
    for block, name in _NAMES.items():
        checks.append(proved(derivation, f"{beginning}: {name}", block=block, form=form))
        checks.extend(closed_form(block, form))
    return tuple(checks)


def _definition(form: str, covers: tuple[str, ...] = ()) -> tuple[Check, ...]:
    return (
        check(
            "ntteach.attention against scaled_dot_product_attention",
            "implementation",
            "definitions:implementation",
            covers,
            form=form,
        ),
        check(
            "ntteach.attention against loops over numbers",
            "loops",
            "definitions:loops",
            covers,
            form=form,
        ),
    )


CLAIMS = (
    Claim(
        key="masked-self-attention",
        number="Eq. 23",
        kind="definition",
        locus="Appendix A.3",
        statement="Masked self-attention adds to the logits a matrix that is zero on and below "
        "the diagonal and minus infinity above.",
        encoded="For every mask, causal or not: an added mask is a weight e^mask in numerator and "
        "normaliser, and the output is PyTorch's. A row masked everywhere gives zero.",
        checks=(
            proved("causal_mask", "(23) an added mask is a weight", covers=_EQ23),
            *_definition("masked", _EQ23),
            check(
                "AttentionLearner, causal", "implementation", "definitions:module", form="causal"
            ),
        ),
        expected=record("verified"),
        found="Well posed; the paper's mask leaves every row its own element.",
        requires=("self-attention",),
        derivation="derivations/causal_mask.py",
    ),
    Claim(
        key="cross-attention",
        number="Eq. 23",
        kind="definition",
        locus="Appendix A.3",
        statement="Cross-attention takes its queries from one sequence, keys and values from "
        "another.",
        encoded="For sequences of any lengths; with the sequence itself as context it is Eq. 2.",
        checks=(
            proved("definition", "(23) cross-attention", covers=_EQ23),
            *_definition("cross", _EQ23),
        ),
        expected=record("verified"),
        found="Well posed.",
        requires=("self-attention",),
        derivation="derivations/definition.py",
    ),
    Claim(
        key="attention-drawings",
        number="Figure 2",
        kind="figure",
        locus="Appendix A.3",
        statement="The three drawings are multi-output self-attention, masked self-attention and "
        "cross-attention.",
        encoded="The drawn boxes, one after the other, compute Eq. 2 for v >= 1 and both lines of "
        "Eq. 23. We had the captions and redrew the boxes; they are sampled.",
        checks=(
            *(
                check(
                    f"({letter}) the boxes one after the other",
                    "implementation",
                    "definitions:drawing",
                    form=form,
                )
                for letter, form in (("a", "self"), ("b", "causal"), ("c", "cross"))
            ),
        ),
        expected=record("supported"),
        found="Boxes as the captions describe them compute Eqs. 2 and 23.",
        requires=("self-attention", "masked-self-attention", "cross-attention"),
    ),
    Claim(
        key="vector-output-gradient",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, after Eqs. 28 and 55",
        statement="The gradients extend to outputs that are vectors, v > 1.",
        encoded="For all L, d, d_k, v: the formulas hold column by column, and the value block is "
        "zero outside the output's own column.",
        checks=(
            proved("value_gradient", "(10) any v", block="W_V"),
            proved(
                "query_gradient",
                "(11) quotient form, any v",
                "(11) covariance form, any v",
                block="W_Q",
            ),
            proved(
                "key_gradient",
                "(12) quotient form, any v",
                "(12) covariance form, any v",
                block="W_K",
            ),
            *(one for block in _NAMES for one in closed_form(block, "self")),
        ),
        expected=record("verified"),
        found="Holds; d_k need not be d.",
        requires=("self-attention",),
        derivation="derivations/query_gradient.py",
    ),
    Claim(
        key="causal-gradients",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, Eq. 23 and footnote 3",
        statement="The gradients extend to causally masked self-attention.",
        encoded="Eqs. 10-12 with sums over the elements up to j, for all L, d, d_k, v.",
        checks=(
            *_all_blocks("causal_mask", "(23) causal", "causal"),
            contracted("causal"),
            *(exact_entries(block, mask="causal") for block in _NAMES),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("masked-self-attention",),
        derivation="derivations/causal_mask.py",
    ),
    Claim(
        key="masked-gradients",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, Eq. 23 and footnote 3",
        statement="The gradients extend to any mask.",
        encoded="Eqs. 10-12 with each exponential times a weight m_jk >= 0, for all sizes; rows "
        "masked everywhere have zero gradient (numerically, closed form and autograd agree).",
        checks=(
            *_all_blocks("causal_mask", "(23) any mask", "masked"),
            contracted("masked"),
            *(
                proved(
                    "causal_mask",
                    f"(23) causal, weighted: {name}",
                    block=block,
                    form="causal, weighted",
                )
                for block, name in _NAMES.items()
            ),
        ),
        expected=record("verified"),
        found="Holds, for boolean masks and for masks that are added.",
        requires=("masked-self-attention",),
        derivation="derivations/causal_mask.py",
    ),
    Claim(
        key="cross-gradients",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, Eq. 23 and footnote 3",
        statement="The gradients extend to cross-attention.",
        encoded="Eq. 11 keeps the own element S_j; in Eqs. 10 and 12 the context stands for the "
        "sequence. For all L, M, d, d_k, v.",
        checks=(
            *_all_blocks("cross_attention", "(23) cross-attention", "cross"),
            contracted("cross"),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("cross-attention",),
        derivation="derivations/cross_attention.py",
    ),
    Claim(
        key="multi-head-gradients",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, last paragraph",
        statement="The gradients extend to several heads by repeating the derivation in parallel.",
        encoded="Heads side by side: an output depends on the weights of its own head only, by "
        "Eqs. 10-12 with d_h = d_k / heads in the scale, for every number of heads.",
        checks=(
            *_all_blocks("multi_head", "heads side by side", "multi-head"),
            contracted("multi-head"),
            *_definition("multi-head"),
        ),
        expected=record("verified"),
        found="Holds; with masks and a context it has been sampled.",
        requires=("self-attention",),
        derivation="derivations/multi_head.py",
    ),
    Claim(
        key="mixed-head-gradients",
        number="Appendix A.3",
        kind="sentence",
        locus="Appendix A.3, last paragraph",
        statement="The gradients extend to heads that an output matrix mixes.",
        encoded="With F = [f_1, ..., f_H] W_O an output depends on every head: its gradient is the "
        "sum over a head's columns of W_O times the head's gradient, and by W_O it is the head's "
        "output. For all sizes.",
        checks=(
            *_all_blocks("multi_head", "heads mixed", "projected"),
            contracted("projected"),
            proved("multi_head", "heads mixed: output", block="W_O", form="projected"),
            *closed_form("W_O", "projected"),
            *_definition("projected"),
        ),
        expected=record("verified"),
        found="Repeating in parallel is followed by one more product, with W_O.",
        requires=("multi-head-gradients",),
        derivation="derivations/multi_head.py",
    ),
)
