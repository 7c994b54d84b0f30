"""Section 4.1: the gradient by the value matrix (Eq. 10) and its derivation (Eqs. 25-28)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import closed_form, equations, exact_entries, proved

_STATED, _DERIVED = equations("10"), equations("25-28")

CLAIMS = (
    Claim(
        key="value-gradient-derivation",
        number="Eqs. 25-28",
        kind="equation",
        locus="Appendix A.3",
        statement="Only the numerator of the softmax-weighted mean depends on W_V, so the "
        "derivative of row j is row j of diag(1/(E 1)) E S.",
        encoded="The lines that the derivation must have gone through, as identities for all L "
        "and d; the last is Eq. 10.",
        checks=(
            proved("row_by_row", "(25)", "(26)-(28)", covers=_DERIVED, block="W_V", form="scalar"),
            proved("value_gradient", "(25)", covers=_DERIVED),
            *closed_form("W_V", "scalar", _DERIVED),
        ),
        expected=record("verified"),
        found="Every line, as restored here, holds.",
        requires=("self-attention",),
        derivation="derivations/row_by_row.py",
    ),
    Claim(
        key="value-gradient",
        number="Eq. 10",
        kind="equation",
        locus="Section 4.1",
        statement="For v = 1 the derivative of the output by W_V is the attention matrix times "
        "the sequence, an L x d matrix.",
        encoded="For all L, d: df_j / dW_V[a] = sum_k A_jk S_ka, with A = softmax(Q K^T / sqrt(d)) "
        "= diag(1/(E 1)) E. Smallest case: L = d = 1, where it is S.",
        checks=(
            proved("value_gradient", "(26)-(28), (10)", covers=_STATED, block="W_V", form="scalar"),
            *closed_form("W_V", "scalar", _STATED),
            exact_entries("W_V", _STATED),
        ),
        expected=record("verified", "verified"),
        found="Holds, in both forms.",
        requires=("self-attention",),
        paper_uses=("value-gradient-derivation",),
        derivation="derivations/value_gradient.py",
    ),
)
