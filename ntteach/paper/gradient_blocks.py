"""Section 4.1: the gradient as blocks of columns (Eqs. 8, 9 and 24)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import by_differences, check, equations, proved

_EQ8, _EQ9 = equations("8"), equations("9", "24")

CLAIMS = (
    Claim(
        key="gradient-blocks",
        number="Eq. 8",
        kind="equation",
        locus="Section 4.1",
        statement="The gradient of the output consists of its derivatives by the columns of the "
        "value, query and key matrices.",
        encoded="For all L, d, d_k, v: the blocks together hold the derivative of every output by "
        "every parameter once; by the column b of W_V only the output column b changes.",
        checks=(
            proved("value_gradient", "(10) any v", covers=_EQ8, block="W_V"),
            proved("query_gradient", "(11) covariance form, any v", covers=_EQ8, block="W_Q"),
            proved("key_gradient", "(12) covariance form, any v", covers=_EQ8, block="W_K"),
            check(
                "the blocks against one autograd vector",
                "autograd",
                "blocks:flat",
                _EQ8,
                form="self",
            ),
            *(by_differences(block, "self", _EQ8) for block in ("W_V", "W_Q", "W_K")),
        ),
        expected=record("verified"),
        found="The blocks are complete and in any order; the paper's order is value, query, key.",
        requires=("self-attention",),
        derivation="derivations/value_gradient.py",
    ),
    Claim(
        key="scalar-gradient-blocks",
        number="Eq. 9",
        kind="equation",
        locus="Section 4.1; Eq. 24 in Appendix A.3",
        statement="For v = 1 there is one value block, and d query and d key blocks, one for each "
        "column.",
        encoded="With v = 1 and d_k = d: one L x d block for W_V and 2 d blocks of L x d, which "
        "are the whole gradient. Eq. 24 stacks the same blocks.",
        checks=(
            proved("value_gradient", "(26)-(28), (10)", covers=_EQ9, block="W_V", form="scalar"),
            proved(
                "query_gradient",
                "(11) covariance form, v = 1",
                covers=_EQ9,
                block="W_Q",
                form="scalar",
            ),
            proved(
                "key_gradient",
                "(12) covariance form, v = 1",
                covers=_EQ9,
                block="W_K",
                form="scalar",
            ),
            check(
                "the blocks against one autograd vector",
                "autograd",
                "blocks:flat",
                _EQ9,
                form="scalar",
            ),
            *(by_differences(block, "scalar", _EQ9) for block in ("W_V", "W_Q", "W_K")),
        ),
        expected=record("verified"),
        found="2 d + 1 blocks of L rows and d columns hold the 2 d^2 + d derivatives of each row.",
        requires=("self-attention",),
        derivation="derivations/row_by_row.py",
    ),
)
