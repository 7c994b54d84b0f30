"""The teacher: the paper's greedy selection of training samples (Eq. 21, Algorithm 1) in PyTorch.

A `Teacher` sits in a training loop: it keeps a score per sample, selects by it, and knows the
budget of the run before it starts. Around it: schedules of ratio and interval, scores, the rules
as pure functions, and the weights of the paper's Table 8.
"""

from ntteach.teaching.choice import Decision
from ntteach.teaching.indexed import indexed
from ntteach.teaching.ntk import ntk_scores
from ntteach.teaching.plan import Plan, plan
from ntteach.teaching.reading import Reading
from ntteach.teaching.sampler import TeachingSampler
from ntteach.teaching.schedules import Schedule, constant, cosine, incremental, step
from ntteach.teaching.scores import last_layer_gradient_norms, residual_norm, token_mean
from ntteach.teaching.summary import Report
from ntteach.teaching.teacher import Teacher
from ntteach.teaching.weights import class_weights, gradnorm_weights, group_weights

__all__ = [
    # the teacher
    "Teacher",
    "TeachingSampler",
    "indexed",
    # how a run is laid out
    "Plan",
    "Schedule",
    "constant",
    "cosine",
    "incremental",
    "plan",
    "step",
    # what it says
    "Decision",
    "Reading",
    "Report",
    # scores
    "last_layer_gradient_norms",
    "ntk_scores",
    "residual_norm",
    "token_mean",
    # the weights of Table 8
    "class_weights",
    "gradnorm_weights",
    "group_weights",
]
