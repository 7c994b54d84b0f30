"""Both sides of the sufficient reduction (Proposition 4, Eq. 19) and of what holds in its place.

`sufficient_reduction` takes one kernel and one gradient, `reductions_along` a whole run;
`eigenmode_decay` gives the exact course under squared loss. `ntteach check --bound` does it for a
model and data of one's own.
"""

from ntteach.bounds.eigenmodes import EigenmodeDecay, eigenmode_decay
from ntteach.bounds.reduction import Hypothesis, Reduction
from ntteach.bounds.sufficient import FORMS, sufficient_reduction
from ntteach.bounds.trace import Record, ReductionTrace, Summary, reductions_along

__all__ = [
    "FORMS",
    "EigenmodeDecay",
    "Hypothesis",
    "Record",
    "Reduction",
    "ReductionTrace",
    "Summary",
    "eigenmode_decay",
    "reductions_along",
    "sufficient_reduction",
]
