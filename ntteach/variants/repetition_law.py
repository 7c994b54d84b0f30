"""The law of repeated sequences: averages do not see how often the whole sequence occurs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ntteach.variants.numerics import SAFETY, margin, noise
from ntteach.variants.report import Law
from ntteach.variants.smallest import as_lists, described, smallest, uncut
from ntteach.variants.subject import Subject
from ntteach.variants.target import CannotCheck

_REPEATS = (2, 3)


def repetition(subject: Subject, sequences: Tensor, seed: int, claimed: bool) -> Law:
    """The averaged gradient `(1/rL) sum_j <G_j, df_j/dtheta>` is the same for every r.

    G is the gradient of `||f - y||^2 / 2` with y repeated as the sequence is. Where there are no
    parameters, the rows' outputs are compared instead: that they stay is what the law rests on.
    """
    by_output = not subject.parameters
    generator = torch.Generator().manual_seed(seed)
    worst, cases, broken = 0.0, 0, None
    try:
        for S in sequences:
            f = subject.output(S)
            y = torch.randn(f.shape, generator=generator, dtype=torch.float64).to(f)
            quantity = _repeated(subject, y)
            once = quantity(S, r=1)
            for r in _REPEATS:
                repeated = partial(quantity, r=r)
                bound = SAFETY * noise(repeated, S, generator)
                worst = max(worst, margin(repeated(S), once, bound))
                cases += 1
    except CannotCheck as error:
        if claimed:
            raise
        return Law("repetition", False, None, 0, None, f"does not run repeated: {error}")
    holds = worst <= 1
    if not holds:
        broken = _smallest_repetition(subject, sequences, seed)
    what = "outputs (no parameter is trained)" if by_output else "averaged parameter gradient"
    return Law(
        "repetition",
        claimed,
        holds,
        cases,
        worst,
        f"repeating the sequence {'leaves' if holds else 'changes'} the {what}",
        "sequences that grow by other elements than their own",
        broken,
    )


def _repeated(subject: Subject, y: Tensor) -> Callable[..., Tensor]:
    """The quantity that repetition should leave alone, as one vector."""

    def quantity(S: Tensor, *, r: int) -> Tensor:
        many = S.repeat(r, 1)
        f = subject.output(many)
        if not subject.parameters:
            # every copy must agree, so the one that differs most stands for its row
            copies = f.unflatten(0, (r, -1))
            far = (copies - copies[:1]).abs().argmax(0, keepdim=True)
            return copies.gather(0, far)[0].flatten()
        G = (f - y.repeat(r, 1)) / many.shape[0]
        product = subject.products(many, [G])[0]
        return torch.cat([product[name].flatten() for name in subject.parameters])

    return quantity


def _smallest_repetition(subject: Subject, sequences: Tensor, seed: int) -> dict[str, object]:
    def compare(S: Tensor) -> tuple[Tensor, Tensor, float]:
        quantity = _repeated(subject, torch.zeros_like(subject.output(S)))
        generator = torch.Generator().manual_seed(seed)
        bound = SAFETY * noise(partial(quantity, r=2), S, generator)
        return quantity(S, r=1), quantity(S, r=2), bound

    def broken(S: Tensor) -> bool:
        once, twice, bound = compare(S)
        return 4 < margin(twice, once, bound) < math.inf

    S = smallest(broken, sequences[0], seed)
    if S is None:
        return uncut(sequences[0])
    once, twice, bound = compare(S)
    i = int((twice - once).abs().argmax())
    where = _entry(subject, i, S)
    return {
        "S": as_lists(S),
        "repeats": 2,
        "entry": where,
        "found": twice[i].item(),
        "expected": once[i].item(),
        "bound": bound,
        "text": (
            f"S = {described(S)}, twice; target 0\n{where}:\nonce {once[i].item():.6g}, "
            f"repeated {twice[i].item():.6g} +- {bound:.1e}"
        ),
    }


def _entry(subject: Subject, i: int, S: Tensor) -> str:
    """The name of one entry of the vector that `_repeated` gives."""
    if not subject.parameters:
        width = subject.output(S).shape[1]
        return f"output row {i // width}, column {i % width}"
    for name, x in subject.parameters.items():
        if i < x.numel():
            place = [int(n) for n in torch.unravel_index(torch.tensor(i), x.shape)]
            return f"averaged gradient by {name}[{', '.join(map(str, place))}]"
        i -= x.numel()
    raise IndexError(i)
