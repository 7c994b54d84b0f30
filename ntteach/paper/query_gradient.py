"""Section 4.1: the gradient by the query matrix (Eq. 11) and its derivation (Eqs. 29-43)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import closed_form, equations, exact_entries, proved

_STATED, _DERIVED = equations("11"), equations("29-43")

CLAIMS = (
    Claim(
        key="query-gradient-derivation",
        number="Eqs. 29-43",
        kind="equation",
        locus="Appendix A.3",
        statement="Row by row, the quotient rule with dE_jk / dW_Q[a, i] = d^-1/2 S_ja K_ki E_jk "
        "gives the query gradient.",
        encoded="The steps that the derivation must have gone through, as identities for all L "
        "and d: the rows as quotients, the derivative of an entry of E, of the numerator and of "
        "the normaliser, the quotient rule, the common factor taken out.",
        checks=(
            proved(
                "row_by_row", "(29)-(33)", "(34)-(43)", covers=_DERIVED, block="W_Q", form="scalar"
            ),
            proved("row_by_row", "row j after (33)", covers=_DERIVED),
            *closed_form("W_Q", "scalar", _DERIVED),
        ),
        expected=record("verified"),
        found="Every step, as restored here, holds.",
        requires=("self-attention",),
        derivation="derivations/row_by_row.py",
    ),
    Claim(
        key="query-gradient",
        number="Eq. 11",
        kind="equation",
        locus="Section 4.1",
        statement="For v = 1, row j of the derivative of the output by column i of W_Q is "
        "d^-1/2 S_j times a number omega_j.",
        encoded="For all L, d and every column i, with omega_j^(i) = (E_j diag(K_i) V . E_j 1 - "
        "E_j V . E_j K_i) / (E_j 1)^2. Smallest case: L = 1, where omega and the gradient are 0.",
        checks=(
            proved(
                "query_gradient",
                "(11) quotient form, v = 1",
                "(11) covariance form, v = 1",
                covers=_STATED,
                block="W_Q",
                form="scalar",
            ),
            *closed_form("W_Q", "scalar", _STATED),
            exact_entries("W_Q", _STATED),
        ),
        expected=record("verified", "verified"),
        found="Holds; omega_j^(i) is the covariance of key column i and the values under row j of "
        "the attention.",
        requires=("self-attention",),
        paper_uses=("query-gradient-derivation",),
        derivation="derivations/query_gradient.py",
    ),
)
