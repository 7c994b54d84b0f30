"""A tangent kernel along a training run: how far it moves, and what it comes to resemble.

`KernelTrace` records any kernel in a training loop of one's own; what it measures are norms and
cosines in the Frobenius inner product `<K, K'> = sum_ij K_ij K'_ij`, in float64. A kernel of 2m
axes, such as `(N, L, v, N', L', v')`, is a matrix whose rows are its first m axes.
"""

from ntteach.dynamics.matrices import kernel_alignment, kernel_matrix, target_kernel
from ntteach.dynamics.trace import KernelTrace, kernel_cosines

__all__ = ["KernelTrace", "kernel_alignment", "kernel_cosines", "kernel_matrix", "target_kernel"]
