"""The attention neural tangent kernel (ANTK) of Section 4.2 and Appendix A.4.

    K((S, j, c), (S', j', c')) = sum_p (d f(S)_jc / d theta_p) (d f(S')_j'c' / d theta_p),

in closed form (`antk`), and as an operator that is never formed (`antk_operator`).
"""

from ntteach.tangent.kernel import antk
from ntteach.tangent.operator import TangentOperator, antk_operator
from ntteach.tangent.spectrum import Estimate

__all__ = ["Estimate", "TangentOperator", "antk", "antk_operator"]
