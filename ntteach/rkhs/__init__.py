"""Kernels on sequences, functions in their spaces, and functionals of these with their gradients.

Section 3 of the paper as a library: a kernel's space (Section 3.1), evaluation (Eq. 1), functional
gradients (Definition 2, Lemmas 5 and 6) and learning along them (Eq. 5).
"""

from ntteach.rkhs.alignment import global_alignment
from ntteach.rkhs.definiteness import check_gram
from ntteach.rkhs.functionals import (
    Composition,
    Functional,
    RealFunctional,
    SquaredNorm,
    compose,
    evaluate,
    functional_gradient,
    squared_norm,
)
from ntteach.rkhs.functions import Function, inner, norm, section, zero
from ntteach.rkhs.implicit import ImageFit, fit_image
from ntteach.rkhs.kernels import Kernel
from ntteach.rkhs.learner import FunctionalLearner
from ntteach.rkhs.normalisation import normalised
from ntteach.rkhs.outputs import frozen_antk, separable
from ntteach.rkhs.pointwise import gaussian, laplace, linear, polynomial
from ntteach.rkhs.signatures import signature
from ntteach.rkhs.teachers import (
    Teacher,
    functional_gradient_teacher,
    gradient_teacher,
    greedy_teacher,
    mixture_teacher,
    ntk_teacher,
    random_teacher,
    recorded_teacher,
    steepest_teacher,
)
from ntteach.rkhs.teaching import History, Pool, teach, teach_separately

__all__ = [
    # kernels
    "Kernel",
    "linear",
    "polynomial",
    "gaussian",
    "laplace",
    "global_alignment",
    "signature",
    "frozen_antk",
    "separable",
    "normalised",
    "check_gram",
    # functions
    "Function",
    "zero",
    "section",
    "inner",
    "norm",
    # functionals
    "RealFunctional",
    "Functional",
    "SquaredNorm",
    "Composition",
    "evaluate",
    "squared_norm",
    "compose",
    "functional_gradient",
    # learning and teaching
    "FunctionalLearner",
    "Pool",
    "History",
    "teach",
    "teach_separately",
    # teachers
    "Teacher",
    "random_teacher",
    "greedy_teacher",
    "gradient_teacher",
    "functional_gradient_teacher",
    "ntk_teacher",
    "steepest_teacher",
    "mixture_teacher",
    "recorded_teacher",
    # an image by a network, on pixels that are chosen
    "fit_image",
    "ImageFit",
]
