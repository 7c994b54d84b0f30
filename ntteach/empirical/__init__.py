"""The empirical neural tangent kernel of any `torch.nn.Module`, by torch.func, in chunks.

`empirical_ntk` is exact and has two routes; `sketched_ntk` estimates it from random directions and
says how well. For the attention learner, `antk` gives the same numbers by a closed form, faster.
"""

from ntteach.empirical.kernel import empirical_ntk
from ntteach.empirical.projections import SketchedKernel, sketched_ntk

__all__ = ["SketchedKernel", "empirical_ntk", "sketched_ntk"]
