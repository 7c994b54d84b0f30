"""The law of parameters named as in Eq. 2: the module is Eq. 2, and so is its Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ntteach.gradients import attention_jacobian, parameter_gradient
from ntteach.learner import attention
from ntteach.variants.numerics import SAFETY, largest, margin, noise
from ntteach.variants.report import Law
from ntteach.variants.slips import slip
from ntteach.variants.smallest import as_lists, described, smallest, uncut
from ntteach.variants.subject import Subject
from ntteach.variants.target import CannotCheck

_NAMES = ("W_Q", "W_K", "W_V", "W_O")
# Beyond this the Jacobian is compared along random cotangents instead of whole.
_OUTPUTS, _NUMBERS = 64, 2**21


@dataclass(frozen=True)
class Form:
    """Which closed form the module should have: Eq. 2 with these heads, masked or not."""

    heads: int
    causal: bool

    def output(self, params: Mapping[str, Tensor], S: Tensor) -> Tensor:
        """Eq. 2."""
        mask = "causal" if self.causal else None
        return attention(params, S, mask=mask, heads=self.heads)

    def jacobian(self, params: Mapping[str, Tensor], S: Tensor) -> dict[str, Tensor]:
        """Eqs. 8-12, every block `(L, v, *shape)`."""
        mask = "causal" if self.causal else None
        return attention_jacobian(params, S, mask=mask, heads=self.heads)

    def product(self, params: Mapping[str, Tensor], S: Tensor, u: Tensor) -> dict[str, Tensor]:
        """`u^T df/dtheta` without the Jacobian."""
        mask = "causal" if self.causal else None
        return parameter_gradient(params, S, u, mask=mask, heads=self.heads)


def closed_form(subject: Subject, sequences: Tensor, seed: int, causal: bool, claimed: bool) -> Law:
    """`f(S)` is Eq. 2 and `df/dW` its closed form, entry by entry, for W_Q, W_K, W_V and W_O."""
    params, form, why = _form(subject, sequences[0], causal)
    if form is None:
        if claimed:
            raise CannotCheck(f"closed-form is claimed, but {subject.name} {why}")
        return Law("closed-form", False, None, 0, None, f"{subject.name} {why}")
    extra = sorted(set(subject.parameters) - set(params))
    generator = torch.Generator().manual_seed(seed)
    margins: dict[str, float] = {}
    errors: dict[str, float] = {}
    cases = 0
    for S in sequences:
        for block, found, expected, bound in _compare(subject, params, form, S, generator):
            margins[block] = max(margins.get(block, 0.0), margin(found, expected, bound))
            errors[block] = max(errors.get(block, 0.0), largest(found - expected))
            cases += 1
    failing = [block for block, worst in margins.items() if worst > 1]
    masked = ", causally masked" if form.causal else ""
    of = f"Eq. 2 with {form.heads} head{'s' if form.heads > 1 else ''}{masked}"
    case = None
    if failing:
        what = ", ".join(f"{block} by {errors[block]:.2g}" for block in failing)
        detail = f"differs from {of}: {what}"
        detail += f"; {_guess(subject, params, form, sequences, failing)}"
        case = _smallest(subject, params, form, sequences, seed, failing[0])
    else:
        detail = f"output and Jacobian are those of {of}"
    if extra:
        detail += f"; it has further parameters ({', '.join(extra[:4])}), so this is not claimed"
    return Law(
        "closed-form",
        claimed or not extra,
        not failing,
        cases,
        max(margins.values()),
        detail,
        "a difference that shows only on longer sequences or other parameter values",
        case,
    )


def _form(subject: Subject, S: Tensor, causal: bool) -> tuple[dict[str, Tensor], Form | None, str]:
    """The parameters, the closed form that fits them, or why none does."""
    module = subject.module
    found = {} if module is None else dict(module.named_parameters())
    params = {name: found[name].detach() for name in _NAMES if name in found}
    if module is None or not set(_NAMES[:3]) <= set(params):
        return {}, None, "has no parameters named W_Q, W_K and W_V"
    heads = next(
        (
            n
            for name in ("heads", "num_heads", "n_heads")
            if isinstance(n := getattr(module, name, None), int)
        ),
        1,
    )
    form = Form(heads, causal or getattr(module, "causal", False) is True)
    try:
        if form.output(params, S).shape != subject.output(S).shape:
            return {}, None, "has W_Q, W_K, W_V, but an output of another width than Eq. 2"
    except (ValueError, TypeError) as error:
        return {}, None, f"has W_Q, W_K, W_V that do not fit Eq. 2 ({error})"
    return params, form, ""


def _compare(
    subject: Subject,
    params: Mapping[str, Tensor],
    form: Form,
    S: Tensor,
    generator: torch.Generator,
) -> list[tuple[str, Tensor, Tensor, float]]:
    """The output and each block of the Jacobian: found, expected, bound."""
    f = subject.output(S)
    bound = SAFETY * noise(subject.output, S, generator)
    compared = [("output", f, form.output(params, S), bound)]
    trained = [name for name in params if name in subject.parameters]  # others may be frozen
    numbers = f.numel() * sum(params[name].numel() for name in trained)
    whole = f.numel() <= _OUTPUTS and numbers <= _NUMBERS
    u = torch.randn(f.shape, generator=generator, dtype=torch.float64).to(f)

    def gradients(S: Tensor) -> Tensor:
        product = subject.products(S, [u])[0]
        return torch.cat([product[name].flatten() for name in trained])

    if not trained:
        return compared
    bound = SAFETY * noise(gradients, S, generator)
    if whole:
        units = list(torch.eye(f.numel(), dtype=f.dtype, device=f.device).unflatten(1, f.shape))
        products = subject.products(S, units)
        expected = form.jacobian(params, S)
    else:
        products = subject.products(S, [u])
        expected = {name: x[None] for name, x in form.product(params, S, u).items()}
    for name in trained:
        found = torch.stack([product[name] for product in products])
        compared.append((name, found, expected[name].reshape(found.shape), bound))
    return compared


def _guess(
    subject: Subject,
    params: Mapping[str, Tensor],
    form: Form,
    sequences: Tensor,
    failing: list[str],
) -> str:
    if "output" not in failing:
        return "the output agrees, so it is the backward pass (a detach, a custom Function)"
    outputs = [subject.output(S) for S in sequences]

    def equals(candidate: Callable[[Tensor], Tensor]) -> bool:
        generator = torch.Generator().manual_seed(0)
        for S, f in zip(sequences, outputs, strict=True):
            found = candidate(S)
            if found.shape != f.shape:
                return False
            # a slip explains the output to rounding, or it is no explanation
            if margin(f, found, 2 * SAFETY * noise(subject.output, S, generator)) > 1:
                return False
        return True

    other = replace(form, causal=not form.causal)
    if equals(lambda S: other.output(params, S)):
        return "it equals Eq. 2 " + (
            "without the mask"
            if form.causal
            else "with a causal mask: say --causal if that is meant"
        )
    return slip(params, form.heads, form.causal, equals) or "it matches none of the usual slips"


def _smallest(
    subject: Subject,
    params: Mapping[str, Tensor],
    form: Form,
    sequences: Tensor,
    seed: int,
    block: str,
) -> dict[str, object]:
    def compare(S: Tensor) -> tuple[Tensor, Tensor, float]:
        generator = torch.Generator().manual_seed(seed)
        compared = _compare(subject, params, form, S, generator)
        return next((f, e, b) for name, f, e, b in compared if name == block)

    def broken(S: Tensor) -> bool:
        return 4 < margin(*compare(S)) < math.inf

    S = smallest(broken, sequences[0], seed)
    if S is None:
        return uncut(sequences[0])
    found, expected, bound = compare(S)
    i = int((found - expected).abs().argmax())
    place = [int(n) for n in torch.unravel_index(torch.tensor(i), found.shape)]
    value, wanted = found.flatten()[i].item(), expected.flatten()[i].item()
    width = subject.output(S).shape[1]
    if block == "output":
        where = f"output row {place[0]}, column {place[1]}"
    elif found.shape[0] == 1 < S.shape[0] * width:
        where = f"a combination of outputs, by {block}{place[1:]}"
    else:
        where = f"output row {place[0] // width}, column {place[0] % width}, by {block}{place[1:]}"
    return {
        "S": as_lists(S),
        "block": block,
        "index": place,
        "found": value,
        "expected": wanted,
        "bound": bound,
        "text": (
            f"S = {described(S)}\n{where}:\nmodule {value:.6g}, closed form {wanted:.6g} "
            f"+- {bound:.1e}"
        ),
    }
