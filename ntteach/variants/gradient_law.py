"""The law that always decides: autograd's derivative is the derivative of what the module computes.

    u^T (df/dx) delta  by autograd  =  u^T (f(x + h delta) - f(x - h delta)) / 2h  + O(h^2)

for x the sequence and every parameter, random and unit directions delta, random and unit u.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ntteach.variants.numerics import SAFETY, balanced_step, largest, noise, relative, slope
from ntteach.variants.report import Law
from ntteach.variants.smallest import as_lists, described, index, narrowed, smallest
from ntteach.variants.subject import Subject
from ntteach.variants.target import CannotCheck

# With more parameters than this, a sample of them is taken one by one; all are moved together.
_TENSORS = 24
_COORDINATES = 4
_BLIND = (
    "an error along directions that were not drawn and far below the others; second derivatives; "
    "parameters that are frozen or not registered"
)


@dataclass(frozen=True)
class Comparison:
    """One u and one direction: `u^T (df/dx) delta` by autograd and by differences."""

    automatic: float
    difference: float
    bound: float

    @property
    def margin(self) -> float:
        """Error over bound; infinite where autograd gives NaN, 0 at a kink."""
        if self.bound == math.inf:
            return 0.0
        error = abs(self.automatic - self.difference)
        ratio = error / self.bound if self.bound else (math.inf if error else 0.0)
        return math.inf if math.isnan(ratio) else ratio


def gradient(subject: Subject, sequences: Tensor, seed: int) -> Law:
    """Compare autograd with central differences on each sequence, for S and each parameter."""
    generator = torch.Generator().manual_seed(seed)
    compared: list[tuple[str, Comparison]] = []
    for S in sequences:
        compared += _compare(subject, S, _directions(subject, S, generator), generator)
    usable = [(name, c) for name, c in compared if c.bound < math.inf]
    if not usable:
        raise CannotCheck(
            f"{subject.name} is not smooth enough to differentiate at any point that was drawn: "
            f"half and quarter precision, rounding and hard selection have this effect"
        )
    kinks = len(compared) - len(usable)
    worst = max(c.margin for _, c in usable)
    failing = {name for name, c in usable if c.margin > 1}
    single = [name for name in ("S", *subject.parameters) if name in failing]
    detail = f"autograd against central differences, for S and {_counted(len(subject.parameters))}"
    if failing:
        names = ", ".join(single[:6]) + (", ..." if single[6:] else "")
        detail = f"autograd's derivative is wrong for {names or 'all parameters together'}"
    if kinks:
        detail += f" ({kinks} more at a kink, where there is no derivative, left out)"
    case = _smallest(subject, sequences, seed, single) if single else None
    return Law("gradient", True, not failing, len(usable), worst, detail, _BLIND, case)


def _counted(parameters: int) -> str:
    if not parameters:
        return "no parameters"
    return f"{parameters} parameter{'s' if parameters > 1 else ''}"


def _directions(
    subject: Subject, S: Tensor, generator: torch.Generator
) -> list[tuple[str, dict[str, Tensor]]]:
    """One random direction and some coordinates for each tensor, and all parameters at once."""
    names = list(subject.parameters)
    if len(names) > _TENSORS:
        chosen = torch.randperm(len(names), generator=generator)[:_TENSORS]
        names = [names[i] for i in sorted(chosen.tolist())]
    tensors = {"S": S, **{name: subject.parameters[name] for name in names}}
    found: list[tuple[str, dict[str, Tensor]]] = []
    for name, x in tensors.items():
        if not x.numel():
            continue
        found.append((name, {name: _random(x, generator)}))
        count = min(_COORDINATES if len(tensors) <= 8 else 1, x.numel())
        for i in torch.randperm(x.numel(), generator=generator)[:count].tolist():
            unit = torch.zeros(x.numel(), dtype=x.dtype, device=x.device)
            unit[i] = 1
            found.append((name, {name: unit.reshape(x.shape)}))
    if len(subject.parameters) > 1:
        together = {name: _random(x, generator) for name, x in subject.parameters.items()}
        found.append(("all", together))
    return found


def _random(x: Tensor, generator: torch.Generator) -> Tensor:
    """A random direction of length 1, so that every step is as long as along a coordinate."""
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    return direction / direction.norm().clamp(min=torch.finfo(x.dtype).tiny)


def _compare(
    subject: Subject,
    S: Tensor,
    directions: Sequence[tuple[str, Mapping[str, Tensor]]],
    generator: torch.Generator,
) -> list[tuple[str, Comparison]]:
    f = subject.output(S)
    rounding = noise(subject.output, S, generator)
    cotangents = [_random(f, generator) for _ in range(2)]
    for i in torch.randperm(f.numel(), generator=generator)[:4].tolist():
        unit = torch.zeros(f.numel(), dtype=f.dtype, device=f.device)
        unit[i] = 1
        cotangents.append(unit.reshape(f.shape))
    products = subject.products(S, cotangents)
    found = []
    for name, direction in directions:
        value, bound = _slope(subject, S, direction, rounding, largest(f))
        for u, product in zip(cotangents, products, strict=True):
            found.append((name, _judge(u, product, direction, value, bound, rounding, f)))
    return found


def _slope(
    subject: Subject, S: Tensor, direction: Mapping[str, Tensor], rounding: float, top: float
) -> tuple[Tensor, Tensor]:
    """`(df/dx) delta` by differences, with its bound, for every output."""
    size = max(largest({"S": S, **subject.parameters}[name]) for name in direction)
    step = balanced_step(rounding, size, top)
    rest = {name: delta for name, delta in direction.items() if name != "S"}

    def along(t: float) -> Tensor:
        with subject.moved(rest, t):
            return subject.output(S + t * direction["S"] if "S" in direction else S)

    # x + t delta is rounded too, which moves f by as much as the slope allows
    value, bound = slope(along, step, rounding)
    eps = torch.finfo(S.dtype).eps
    return value, bound + SAFETY * eps * max(1.0, size) * largest(value) / step


def _judge(
    u: Tensor,
    product: Mapping[str, Tensor],
    direction: Mapping[str, Tensor],
    value: Tensor,
    bound: Tensor,
    rounding: float,
    f: Tensor,
) -> Comparison:
    automatic = sum((product[name] * delta).sum().item() for name, delta in direction.items())
    weight = u.abs()
    # 0 * inf: an output that does not take part may be at a kink
    limit = torch.where(weight > 0, weight * bound, torch.zeros_like(bound)).sum().item()
    # autograd rounds as well, relative to its largest entry as the output does
    top = max(largest(product[name]) for name in direction)
    limit += SAFETY * relative(rounding, f) * top
    return Comparison(automatic, (u * value).sum().item(), limit)


def _smallest(
    subject: Subject, sequences: Tensor, seed: int, failing: Sequence[str]
) -> dict[str, object]:
    """A small sequence, one output and one coordinate for which autograd is wrong."""
    name = failing[0]

    def compare(S: Tensor, u: Tensor | None, delta: Tensor | None) -> Comparison:
        generator = torch.Generator().manual_seed(seed)
        f = subject.output(S)
        rounding = noise(subject.output, S, generator)
        u = _random(f, generator) if u is None else u
        x = S if name == "S" else subject.parameters[name]
        direction = {name: _random(x, generator) if delta is None else delta}
        value, bound = _slope(subject, S, direction, rounding, largest(f))
        product = subject.products(S, [u])[0]
        return _judge(u, product, direction, value, bound, rounding, f)

    def wrong(S: Tensor, u: Tensor | None = None, delta: Tensor | None = None) -> bool:
        # far beyond the bound, so that rounding cannot be what is shown
        return 4 < compare(S, u, delta).margin < math.inf

    S = smallest(wrong, sequences[0], seed)
    if S is None:
        S = sequences[0]
    generator = torch.Generator().manual_seed(seed)
    f = subject.output(S)
    x = S if name == "S" else subject.parameters[name]
    noise(subject.output, S, generator)  # the draws of `compare`, in its order
    u, delta = _random(f, generator), _random(x, generator)
    if wrong(S, u, delta):
        delta = narrowed(delta, lambda delta: wrong(S, u, delta))
        u = narrowed(u, lambda u: wrong(S, u, delta))
    found = compare(S, u, delta)
    coordinate, output = _place(delta), _place(u)
    where = f"{name}[{', '.join(map(str, coordinate))}]" if coordinate else f"{name}, along a line"
    row = f"output row {output[0]}, column {output[1]}" if output else "a combination of outputs"
    return {
        "S": as_lists(S),
        "parameter": name,
        "index": coordinate,
        "output": output,
        "autograd": found.automatic,
        "difference": found.difference,
        "bound": found.bound,
        "text": (
            f"S = {described(S)}\n{row}, by {where}:\nautograd {found.automatic:.6g}, central "
            f"difference {found.difference:.6g} +- {found.bound:.1e}"
        ),
    }


def _place(direction: Tensor) -> list[int] | None:
    """The index of a unit vector, None for any other."""
    ones = direction != 0
    if ones.sum() != 1 or direction[ones].item() != 1:
        return None
    return list(index(direction))
