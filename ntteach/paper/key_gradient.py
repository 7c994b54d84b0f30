"""Section 4.1: the gradient by the key matrix (Eq. 12) and its derivation (Eqs. 44-55)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import closed_form, equations, exact_entries, proved

_STATED, _DERIVED = equations("12"), equations("44-55")

CLAIMS = (
    Claim(
        key="key-gradient-derivation",
        number="Eqs. 44-55",
        kind="equation",
        locus="Appendix A.3",
        statement="Row by row, the quotient rule with dE_jk / dW_K[a, i] = d^-1/2 Q_ji S_ka E_jk "
        "gives the key gradient.",
        encoded="Each step as an identity for all L and d, as for the query gradient.",
        checks=(
            proved(
                "row_by_row", "(44)-(48)", "(49)-(55)", covers=_DERIVED, block="W_K", form="scalar"
            ),
            proved("row_by_row", "row j after (48)", covers=_DERIVED),
            *closed_form("W_K", "scalar", _DERIVED),
        ),
        expected=record("verified"),
        found="Every step, as restored here, holds.",
        requires=("self-attention",),
        derivation="derivations/row_by_row.py",
    ),
    Claim(
        key="key-gradient",
        number="Eq. 12",
        kind="equation",
        locus="Section 4.1",
        statement="For v = 1, row j of the derivative of the output by column i of W_K is "
        "d^-1/2 Q_ji times a combination of all elements.",
        encoded="For all L, d and every column i: d^-1/2 Q_ji (E_j diag(V) S . E_j 1 - E_j V . "
        "E_j S) / (E_j 1)^2. Smallest case: L = 1, where it is 0.",
        checks=(
            proved(
                "key_gradient",
                "(12) quotient form, v = 1",
                "(12) covariance form, v = 1",
                covers=_STATED,
                block="W_K",
                form="scalar",
            ),
            *closed_form("W_K", "scalar", _STATED),
            exact_entries("W_K", _STATED),
        ),
        expected=record("verified", "verified"),
        found="Holds; the combination is the covariance of the elements with the values under row "
        "j of the attention.",
        requires=("self-attention",),
        paper_uses=("key-gradient-derivation",),
        derivation="derivations/key_gradient.py",
    ),
)
