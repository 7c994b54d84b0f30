"""`antk_operator`: the kernel as a linear operator, for batches whose kernel no memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ntteach.learner import Mask, Params, Problem, forward, take
from ntteach.tangent import spectrum
from ntteach.tangent.arguments import Pair, check_block_size, full_precision, pair
from ntteach.tangent.closed_form import block_size_for
from ntteach.tangent.features import Group, features, formed
from ntteach.tangent.products import Direction, pull_back, push_forward
from ntteach.tangent.spectrum import Estimate

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

# Numbers that the work on one block of sequences may hold: 4 MB in float32.
_BLOCK_NUMBERS = 2**20


def antk_operator(
    params: Params,
    S: Tensor,
    S_other: Tensor | None = None,
    *,
    context: Tensor | None = None,
    context_other: Tensor | None = None,
    mask: Mask = None,
    mask_other: Mask = None,
    heads: int = 1,
    block_size: int | None = None,
) -> TangentOperator:
    """The attention neural tangent kernel as a linear operator: `K @ x` without K.

    `K x = J (J'^T x)` goes through the space of the parameters, one block of sequences after the
    other: the time of a few forward passes, and memory that does not grow with N but for x itself.
    A vector is a batch of outputs `(N, L, v)`, flattened in C order. Where a parameter requires a
    gradient, products have one, and keep what it needs: call them under `torch.no_grad()` if not.

    Args:
        params: as for `attention`.
        S: `(N, L, d)`, or `(L, d)` for one sequence.
        S_other: `(N', L', d)` or `(L', d)`; S itself, with its context and mask, if None.
        context: as for `attention`, of S.
        context_other: of S_other; given if and only if `context` is.
        mask: as for `attention`, of S. "causal" holds for both sides.
        mask_other: of S_other; none if None, but for "causal".
        heads: divides d_k and v.
        block_size: sequences that are worked on at a time; chosen for the cache if None.

    Returns:
        A `TangentOperator` of shape `(N L v, N' L' v)`.

    Raises:
        ValueError: as `antk`.
        TypeError: as `antk`.

    >>> zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    >>> K = antk_operator({"W_Q": zero, "W_K": one, "W_V": one}, torch.tensor([[0.0], [2.0]]))
    >>> K.shape, (K @ torch.tensor([1.0, 1.0])).tolist()  # of [[1, 1], [1, 5]]
    ((2, 2), [2.0, 6.0])
    """
    both = pair(params, S, S_other, context, context_other, mask, mask_other, heads=heads)
    check_block_size(block_size)
    return TangentOperator(both, block_size)


class TangentOperator:
    """What `antk_operator` returns; it keeps the tensors that it was given, not copies.

    Attributes:
        shape: `(N L v, N' L' v)`.
        dtype: of the sequences, and of every vector.
        device: of the sequences, and of every vector.
    """

    def __init__(self, both: Pair, block_size: int | None = None) -> None:
        self._both = both
        self._block_size = block_size
        self.shape = (prod(both.row_shape), prod(both.column_shape))
        self.dtype, self.device = both.rows.S.dtype, both.rows.S.device

    def __repr__(self) -> str:
        return f"TangentOperator(shape={self.shape}, dtype={self.dtype}, device={self.device})"

    @property
    def T(self) -> TangentOperator:
        """The transpose, the kernel of S_other with S."""
        both = self._both
        swapped = Pair(both.columns, both.rows, both.column_shape, both.row_shape)
        return TangentOperator(swapped, self._block_size)

    def __matmul__(self, x: Tensor) -> Tensor:
        """`K x` for a vector `(N' L' v,)`, or for the columns of a matrix `(N' L' v, m)`.

        Raises:
            ValueError: x of another shape or device.
            TypeError: x of another dtype, or no tensor.
        """
        self._check(x)
        columns = x.unsqueeze(1) if x.ndim == 1 else x
        with full_precision(x):
            direction = self._pulled_back(columns.mT)
            y = torch.cat([part.flatten(1) for part in self._pushed_forward(direction)], 1).mT
        return y.squeeze(1) if x.ndim == 1 else y

    def diagonal(self) -> Tensor:
        """The diagonal of K, `(N L v,)`, in closed form.

        Raises:
            ValueError: K is the kernel of one batch with another, of another shape.
        """
        p, q = self._both.rows, self._both.columns
        if p.S.shape[:2] != q.S.shape[:2]:
            raise ValueError(f"a diagonal belongs to a square kernel, got shape {self.shape}")
        size = self._block_size or block_size_for(p, trace_outputs=False)
        with full_precision(p.S):
            return torch.cat(
                [
                    _diagonal(take(p, start, start + size), take(q, start, start + size))
                    for start in range(0, max(p.S.shape[0], 1), size)
                ]
            )

    def trace(self) -> float:
        """The sum of the diagonal, which is the sum of the eigenvalues; exact to rounding."""
        with torch.no_grad():
            return self.diagonal().sum(dtype=torch.float64).item()

    def estimate_trace(self, samples: int = 32, *, seed: int = 0) -> Estimate:
        """Hutchinson's estimate of the trace, from products with random signs.

        See `spectrum.trace`. `trace` is exact and here as fast; the estimate is for comparison,
        and for kernels that are only a part of a sum.
        """
        self._check_symmetric()
        return spectrum.trace(self, samples, seed=seed)

    def estimate_rank(
        self, samples: int = 8, *, steps: int = 64, tolerance: float = 1e-6, seed: int = 0
    ) -> Estimate:
        """How many eigenvalues exceed `tolerance` times the largest, by stochastic Lanczos
        quadrature; see `spectrum.rank`.
        """
        self._check_symmetric()
        return spectrum.rank(self, samples, steps=steps, tolerance=tolerance, seed=seed)

    def as_linear_operator(self) -> LinearOperator:
        """For SciPy: `scipy.sparse.linalg.eigsh` finds the top eigenvalues.

        Raises:
            TypeError: a dtype that NumPy does not have.
        """
        from scipy.sparse.linalg import LinearOperator

        kinds = {torch.float32: np.float32, torch.float64: np.float64}
        if self.dtype not in kinds:
            raise TypeError(f"SciPy works in float32 or float64, the sequences are {self.dtype}")
        kind = kinds[self.dtype]

        def times(operator: TangentOperator):
            def product(x: np.ndarray) -> np.ndarray:
                if np.iscomplexobj(x):
                    raise TypeError("the kernel is real, and takes real vectors; got complex ones")
                # SciPy hands over vectors (n,) and (n, 1), in its own dtype at times
                given = torch.from_numpy(np.ascontiguousarray(x, dtype=kind)).to(self.device)
                with torch.no_grad():
                    return (operator @ given).cpu().numpy()

            return product

        forth, back = times(self), times(self.T)
        # the stubs know LinearOperator's own arguments only, not those of what it makes here
        make: Any = LinearOperator
        return make(self.shape, matvec=forth, rmatvec=back, matmat=forth, rmatmat=back, dtype=kind)

    def _check_symmetric(self) -> None:
        if not self._both.symmetric:
            raise ValueError("estimates are for the kernel of a batch with itself, S_other=None")

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"a product takes a tensor, got {type(x).__name__}")
        n = self.shape[1]
        if x.ndim not in (1, 2) or x.shape[0] != n:
            raise ValueError(f"a product takes ({n},) or ({n}, m), got {tuple(x.shape)}")
        if x.dtype != self.dtype:
            raise TypeError(f"a product takes the dtype of S, {self.dtype}, got {x.dtype}")
        if x.device != self.device:
            raise ValueError(f"a product takes the device of S, {self.device}, got {x.device}")

    def _pulled_back(self, x: Tensor) -> Direction:
        """`J'^T x` for the rows of x, `(m, N' L' v)`."""
        p = self._both.columns
        outputs = self._both.column_shape[-1]
        R = x.reshape(x.shape[0], *p.S.shape[:2], outputs)
        total: Direction = {}
        for start, stop, block in self._blocks(p, x.shape[0]):
            part = pull_back(block, forward(block), R[:, start:stop])
            total = {name: total[name] + part[name] if total else part[name] for name in part}
        return total

    def _pushed_forward(self, direction: Direction) -> Iterator[Tensor]:
        """`J direction` in blocks of sequences, `(m, block, L, v)` each."""
        m = direction["W_Q"].shape[0]
        for _, _, block in self._blocks(self._both.rows, m):
            yield push_forward(block, forward(block), direction)

    def _blocks(self, p: Problem, m: int) -> Iterator[tuple[int, int, Problem]]:
        L, M = p.S.shape[1], p.C.shape[1]
        heads, _, d_h = p.W_Q.shape
        v_h = p.W_V.shape[-1]
        numbers = max(m, 1) * heads * (3 * L * M + 2 * (L + M) * (d_h + v_h))
        size = self._block_size or max(1, _BLOCK_NUMBERS // numbers)
        for start in range(0, max(p.S.shape[0], 1), size):
            yield start, start + size, take(p, start, start + size)


def _diagonal(p: Problem, q: Problem) -> Tensor:
    rows = features(p, trace_outputs=False)
    columns = rows if q is p else features(q, trace_outputs=False)
    blocks = [
        torch.stack([_group_diagonal(*groups) for groups in zip(*both, strict=True)]).sum(0)
        for both in zip(rows, columns, strict=True)
    ]
    return torch.cat(blocks, 1).flatten()


def _group_diagonal(left: Group, right: Group) -> Tensor:
    """The kernel of each token's outputs with themselves, `(tokens, o)`."""
    W = left.mixing
    same = torch.eye(left.outputs, dtype=left.terms[0].X.dtype, device=left.terms[0].X.device)
    total = same.new_zeros(())
    for t, other in zip(left.terms, right.terms, strict=True):
        gram = (t.X * other.X).sum(-1)[:, None, None]  # (tokens, 1, 1)
        if t.Y is None or other.Y is None:
            total = total + gram * same
        else:
            total = total + gram * (formed(t.Y) @ formed(other.Y).mT)  # (tokens, u, u)
    if W is None:
        return total.diagonal(dim1=1, dim2=2)
    return torch.einsum("tce,cx,ex->tx", total, W, W)
