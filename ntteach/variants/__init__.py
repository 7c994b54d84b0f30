"""`ntteach check MODULE:NAME`: which laws hold for an attention of your own.

`check(object)` is the same from Python. Two laws always decide, where they apply: the gradient is
the derivative of what the module computes, and parameters named W_Q, W_K, W_V make it Eq. 2. The
structural laws (equivariance, repetition, causality) decide where they are claimed.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ntteach.variants.causality_law import causality
from ntteach.variants.closed_form_law import closed_form
from ntteach.variants.equivariance_law import equivariance
from ntteach.variants.gradient_law import gradient
from ntteach.variants.numerics import largest
from ntteach.variants.precision import precision_notes
from ntteach.variants.repetition_law import repetition
from ntteach.variants.report import LAWS, Law, Report
from ntteach.variants.smallest import described, smallest
from ntteach.variants.subject import Subject, adapt
from ntteach.variants.target import CannotCheck, drawing, importing_from, load, prepare

__all__ = ["CannotCheck", "Law", "Report", "check", "command"]

_SEQUENCES, _LENGTH, _WIDTH = 3, 5, 4


def check(
    target: object,
    *,
    shape: Sequence[int] | str | None = None,
    causal: bool = False,
    laws: Sequence[str] | str = (),
    seed: int = 0,
    name: str | None = None,
) -> Report:
    """Test the gradient and the laws of an attention: a function f(S), a module, or a factory.

    A pass is about the sequences that were drawn and the parameters that the module has.

    Args:
        target: a function `(L, d) -> (L, v)`, a `torch.nn.Module` (copied, put in eval mode, run
            in float64 where it can be), a class or a factory without arguments.
        shape: `(N, L, d)`, or the text "N,L,d"; 3 sequences of length 5, and the module's own
            width, if None.
        causal: claims causality, and masks the closed form.
        laws: structural laws that are claimed, and so decide.
        seed: of everything that is drawn.
        name: what the report calls it.

    Raises:
        CannotCheck: a `ValueError`: no such law, not callable like this, it raises, its output is
            not (L, v), is not finite or differs from call to call.

    >>> report = check(lambda S: S.cumsum(0), causal=True)
    >>> report.holds, report.law("equivariance").word
    (True, 'does not hold (not claimed)')
    """
    claimed = _claimed(laws, causal)
    name = str(name or getattr(target, "__name__", type(target).__name__))
    generator = torch.Generator().manual_seed(seed)
    # a warning that a module gives at each of some thousand calls helps nobody
    with warnings.catch_warnings(), torch.inference_mode(False):
        warnings.simplefilter("ignore")
        with drawing(seed):
            made = prepare(target, name)
        sequences, hint = _sequences(made, shape, generator)
        subject = adapt(made, name, sequences[0], hint)
        sequences = sequences.to(subject.device, subject.dtype)
        _require_sound(subject, sequences, seed)
        coarse = precision_notes(subject, sequences[0], seed)
        return Report(
            name,
            (sequences.shape[0], sequences.shape[1], sequences.shape[2]),
            str(subject.dtype).removeprefix("torch."),
            seed,
            (
                gradient(subject, sequences, seed),
                closed_form(subject, sequences, seed, causal, "closed-form" in claimed),
                *_structural(subject, sequences, seed, claimed),
            ),
            subject.called,
            (*subject.notes, *coarse),
        )


def _structural(
    subject: Subject, sequences: Tensor, seed: int, claimed: frozenset[str]
) -> list[Law]:
    found = []
    for law, test in _STRUCTURAL.items():
        if sequences.shape[1] > 1 or law == "repetition":
            found.append(test(subject, sequences, seed, law in claimed))
        elif law in claimed:
            raise CannotCheck(f"{law} needs sequences of at least 2 elements: --shape N,L,d")
        else:
            found.append(Law(law, False, None, 0, None, "needs sequences of at least 2 elements"))
    return found


_STRUCTURAL: dict[str, Callable[[Subject, Tensor, int, bool], Law]] = {
    "equivariance": equivariance,
    "repetition": repetition,
    "causality": causality,
}


def _claimed(laws: Sequence[str] | str, causal: bool) -> frozenset[str]:
    names = [law.strip() for law in laws.split(",")] if isinstance(laws, str) else list(laws)
    for law in names:
        if law not in LAWS:
            near = get_close_matches(law, LAWS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(LAWS)}"
            raise CannotCheck(f"there is no law {law!r}{hint}")
    return frozenset(names) | ({"causality"} if causal else set())


def _sequences(
    target: Callable[..., Any], shape: Sequence[int] | str | None, generator: torch.Generator
) -> tuple[Tensor, str]:
    """The sequences that the laws are tried on, and what to say if their width does not fit."""
    own = _own_width(target)
    if shape is None:
        n, length, d = _SEQUENCES, _LENGTH, own or _WIDTH
        hint = f"; it was given the width {d}: --shape N,L,d gives it another"
    else:
        n, length, d = _shape(shape)
        hint = f"; it seems to have the width {own}: --shape {n},{length},{own}"
        hint = "" if own in (None, d) else hint
    try:
        return torch.randn(n, length, d, generator=generator, dtype=torch.float64), hint
    except (RuntimeError, MemoryError) as error:
        raise CannotCheck(f"there is no memory for {n} sequences {length} x {d}") from error


def _shape(shape: Sequence[int] | str) -> tuple[int, int, int]:
    try:
        numbers = [int(n) for n in (shape.split(",") if isinstance(shape, str) else shape)]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or min(numbers) < 1:
        raise CannotCheck(f"shape is N,L,d, three whole numbers of at least 1, got {shape!r}")
    return numbers[0], numbers[1], numbers[2]


def _own_width(target: Callable[..., Any]) -> int | None:
    """The width that a module says it has: by attribute, configuration or first weight."""
    if not isinstance(target, torch.nn.Module):
        return None
    for part in target.modules():
        for holder in (part, getattr(part, "config", None)):
            for attribute in ("embed_dim", "hidden_size", "d_model", "in_features"):
                width = getattr(holder, attribute, None)
                if type(width) is int and width > 0:
                    return width
        W_Q = getattr(part, "W_Q", None)
        if isinstance(W_Q, Tensor) and W_Q.ndim == 2:
            return W_Q.shape[0]
    return next((p.shape[0] for p in target.parameters() if p.ndim == 2), None)


def _require_sound(subject: Subject, sequences: Tensor, seed: int) -> None:
    """Raise unless outputs are finite and a second call gives the same."""

    def broken(S: Tensor) -> bool:
        return not torch.isfinite(subject.output(S)).all().item()

    for S in (*sequences, torch.zeros_like(sequences[0]), torch.ones_like(sequences[0])):
        if broken(S):
            found = smallest(broken, S, seed)
            S = S if found is None else found
            what = "NaN" if torch.isnan(subject.output(S)).any() else "an infinite output"
            raise CannotCheck(
                f"{subject.name} gives {what} on a finite sequence, at its smallest "
                f"S = {described(S)}"
            )
    once = subject.output(sequences[0])
    subject.output(-sequences[0])  # what is kept from this call would show in the next
    again = subject.output(sequences[0])
    # aligned differently, the same sum may be added in another order
    allowed = 64 * torch.finfo(subject.dtype).eps * largest(once)
    if largest(once - again) > allowed:
        raise CannotCheck(
            f"{subject.name} is not deterministic: two calls with one sequence differ by "
            f"{largest(once - again):.2g} (dropout by hand, a state kept between calls?)"
        )


def command(args: argparse.Namespace) -> int:
    """Run `ntteach check`; 0: every law that decides holds, 1: one fails, 2: could not run."""
    from ntteach.report.output import only_the_report_on_stdout, say

    try:
        with only_the_report_on_stdout(), importing_from(Path.cwd()):
            seed = getattr(args, "seed", None) or 0
            with drawing(seed):
                target = load(args.target)
            report = check(
                target,
                shape=getattr(args, "shape", None),
                causal=bool(getattr(args, "causal", False)),
                laws=getattr(args, "laws", None) or (),
                seed=seed,
                name=args.target,
            )
    except CannotCheck as error:
        print("ntteach: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    if getattr(args, "json", False):
        say(json.dumps(report.as_json(), indent=2, allow_nan=False))
    else:
        say(report.text())
    return 0 if report.holds else 1
