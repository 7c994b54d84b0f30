"""ntteach: the executable edition of "Nonparametric Teaching of Attention Learners".

Exports load when they are first used, so that `import ntteach` and `ntteach list` load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ntteach import bounds, losses, rkhs, teaching
    from ntteach.dynamics import (
        KernelTrace,
        kernel_alignment,
        kernel_cosines,
        kernel_matrix,
        target_kernel,
    )
    from ntteach.empirical import SketchedKernel, empirical_ntk, sketched_ntk
    from ntteach.gradients import (
        attention_jacobian,
        gradient_norms,
        importance,
        key_gradient,
        parameter_gradient,
        query_gradient,
        value_gradient,
    )
    from ntteach.learner import AttentionLearner, attention, attention_weights
    from ntteach.paper import registry, verify
    from ntteach.sequences import average_loss, mean_readout, padding_mask
    from ntteach.tangent import antk, antk_operator
    from ntteach.teaching import Teacher

_EXPORTS = {
    # the attention learner
    "AttentionLearner": "ntteach.learner",
    "attention": "ntteach.learner",
    "attention_weights": "ntteach.learner",
    # sequences of different length, properties of whole sequences
    "average_loss": "ntteach.sequences",
    "mean_readout": "ntteach.sequences",
    "padding_mask": "ntteach.sequences",
    # closed-form gradients
    "attention_jacobian": "ntteach.gradients",
    "gradient_norms": "ntteach.gradients",
    "importance": "ntteach.gradients",
    "key_gradient": "ntteach.gradients",
    "parameter_gradient": "ntteach.gradients",
    "query_gradient": "ntteach.gradients",
    "value_gradient": "ntteach.gradients",
    # the attention neural tangent kernel
    "antk": "ntteach.tangent",
    "antk_operator": "ntteach.tangent",
    # the tangent kernel of any module, and along a training run
    "KernelTrace": "ntteach.dynamics",
    "SketchedKernel": "ntteach.empirical",
    "empirical_ntk": "ntteach.empirical",
    "kernel_alignment": "ntteach.dynamics",
    "kernel_cosines": "ntteach.dynamics",
    "kernel_matrix": "ntteach.dynamics",
    "sketched_ntk": "ntteach.empirical",
    "target_kernel": "ntteach.dynamics",
    # the teacher of a training run
    "Teacher": "ntteach.teaching",
    # the runner and the claims
    "registry": "ntteach.paper",
    "verify": "ntteach.paper",
}

# whole modules: function space, losses, both sides of the inequalities, the teacher's parts
_MODULES = ("bounds", "losses", "rkhs", "teaching")

__all__ = [
    "AttentionLearner",
    "KernelTrace",
    "SketchedKernel",
    "Teacher",
    "antk",
    "antk_operator",
    "attention",
    "attention_jacobian",
    "attention_weights",
    "average_loss",
    "bounds",
    "empirical_ntk",
    "gradient_norms",
    "importance",
    "kernel_alignment",
    "kernel_cosines",
    "kernel_matrix",
    "key_gradient",
    "losses",
    "mean_readout",
    "padding_mask",
    "parameter_gradient",
    "query_gradient",
    "registry",
    "rkhs",
    "sketched_ntk",
    "target_kernel",
    "teaching",
    "value_gradient",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"ntteach.{name}")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ntteach' has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, *_MODULES})
