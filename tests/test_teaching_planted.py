"""One error in the source of the teacher, and one of its laws breaks.

Each edit is made in one module, which is compiled anew in this process with the others around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import teaching_laws as laws

Law = Callable[[Any], None]

SOFT = laws.soft_draws_have_the_chances_of_drawing_one_after_the_other
SOFT_TEACHER = laws.a_teacher_draws_softly_with_these_chances
UNBIASED = laws.sums_with_unbiased_weights_are_right_on_average
REWEIGHTED = laws.reweighted_losses_have_the_mean_of_all_data
HARD = laws.hard_takes_the_largest
PLACED = laws.unseen_infinite_finite_nan_in_this_order
TIES = laws.ties_are_drawn_at_random
CAP = laws.a_cap_puts_the_highest_last
FLOOR = laws.a_floor_is_drawn_from_the_rest
EVEN = laws.at_strength_0_counts_stay_even
POWER = laws.strength_is_the_power_of_the_score
CHANCE = laws.every_epoch_has_chance_of_its_own
LEFT = laws.a_broken_epoch_goes_on_with_what_is_left
FORMULAS = laws.schedules_follow_the_published_formulas
STAGES = laws.step_changes_where_the_fraction_says
SIZES = laws.epochs_have_the_planned_sizes
INTERVALS = laws.intervals_are_rounded_down
STEPS = laws.total_steps_are_those_taken
RESUMED = laws.a_run_goes_on_from_each_of_its_points
REFUSED = laws.a_state_of_another_or_a_damaged_one_is_refused
SNAPSHOT = laws.a_state_stays_as_it_was_taken
COUNTS = laws.a_report_counts
RANGE = laws.ids_out_of_range_write_nothing

# what it is called: the module, what stands there once, what stands there then, what has to break
EDITS: dict[str, tuple[str, str, str, Law]] = {
    # --- rules
    "ascending for descending": (
        "selection", "(keys > threshold)", "(keys < threshold)", HARD
    ),
    "ascending for descending, in the teacher": (
        "choice", '"ntk"):\n        keys = scores', '"ntk"):\n        keys = -scores', HARD
    ),
    "one place too few": (
        "selection", "len(keys) - k + 1).values", "min(len(keys), len(keys) - k + 2)).values", HARD
    ),
    "the first of equals": (
        "selection",
        "places = places[torch.randperm(len(places), generator=generator)[:missing]]",
        "places = places[:missing]",
        TIES,
    ),
    "NaN first": (
        "selection", "keys.masked_fill(unknown, -INFINITE)", "keys.masked_fill(unknown, INFINITE)",
        PLACED,
    ),
    "the temperature on the noise too": (
        "selection",
        "phi = logits(scores, temperature, draw_from)\n    return largest(phi + gumbel(len(scores), generator), k, generator)",  # noqa: E501
        "phi = logits(scores, 1.0, draw_from)\n    return largest((phi + gumbel(len(scores), generator)) / temperature, k, generator)",  # noqa: E501
        SOFT,
    ),
    "the temperature on the noise alone": (
        "selection", "    return phi / temperature", "    return phi * temperature", SOFT
    ),
    "no temperature in the teacher": (
        "choice", "options.temperature, options.draw_from", "1.0, options.draw_from", SOFT_TEACHER
    ),
    "always from the logarithm": (
        "choice", "options.temperature, options.draw_from", 'options.temperature, "log"',
        SOFT_TEACHER,
    ),
    "exponential noise": ("selection", "return drawn.log_().neg_()", "return drawn", SOFT),
    "the other Gumbel law": ("selection", "drawn.log_().neg_()", "drawn.log_()", SOFT),
    "no noise in the teacher": (
        "choice", "keys = selection.gumbel(samples, chance).add_(phi)", "keys = phi", SOFT_TEACHER
    ),
    "infinite scores among the rest": (
        "choice", "infinite, torch", "scores == 0, torch", PLACED
    ),
    "the k-th for the (k+1)-th": (
        "selection", "known.kthvalue(len(phi) - k)", "known.kthvalue(len(phi) - k + 1)", UNBIASED
    ),
    "weights by the perturbed score": (
        "selection", "-(phi[chosen] - kappa).exp()", "-(perturbed[chosen] - kappa).exp()", UNBIASED
    ),
    "weights without the share": (
        "teacher", "weights * (len(chosen) / self.samples)", "weights", REWEIGHTED
    ),
    "losses not weighed": (
        "teacher", "if self._loss_weights is not None:", "if False:", REWEIGHTED
    ),
    "a cap on the wrong side": ("selection", "(scores > quantile)", "(scores < quantile)", CAP),
    "no cap": ("choice", "if options.cap is not None:", "if False:", CAP),
    "no floor": ("choice", "math.floor(options.floor * k + 0.5)", "0", FLOOR),
    "a floor rounded up": (
        "choice", "math.floor(options.floor * k + 0.5)", "math.ceil(options.floor * k)", FLOOR
    ),
    "a floor from the head of the rest": (
        "selection",
        "places[torch.randperm(len(places), generator=generator)[:count]]",
        "places[:count]",
        FLOOR,
    ),
    "the young first": (
        "selection", "keys += ages.double().log_()", "keys -= ages.double().log_()", EVEN
    ),
    "counts do not break ties": ("selection", "keys.sub_(times, alpha=1e-10)", "keys", EVEN),
    "ages squared": (
        "selection", "keys += ages.double().log_()", "keys += 2 * ages.double().log_()", POWER
    ),
    "strength ignored": (
        "selection", "    if strength != 1:", "    if False:", POWER
    ),
    # --- a run
    "one generator for all epochs": ("choice", "{seed}/{purpose}/{number}", "{seed}/{purpose}", CHANCE),  # noqa: E501
    "an order that is not drawn anew": (
        "teacher", '"order", epoch', '"order", self.plan.cycles[epoch]', CHANCE
    ),
    "an order that is not drawn at all": (
        "choice", "return chosen[torch.randperm(len(chosen), generator=chance, dtype=places(samples))]",  # noqa: E501
        "return chosen", CHANCE,
    ),
    "when a sample was taught is not compared": (
        "teacher", "done = self._memory.taught_at.cpu()[self._order] == self._epoch",
        "done = self._memory.taught_at.cpu()[self._order] >= 0", LEFT,
    ),
    "what is done is kept": ("teacher", "self._order[~done]", "self._order[done]", LEFT),
    "an epoch begun is over": (
        "teacher", "(not len(self.remaining()))", "(self._taught[-1] > 0)", LEFT
    ),
    # --- schedules and plan
    "an off-by-one in the ratio": (
        "plan", "math.floor(share * samples + 0.5)", "math.floor(share * samples)", SIZES
    ),
    "one sample more": (
        "plan", "math.floor(share * samples + 0.5)", "math.floor(share * samples + 1.5)", SIZES
    ),
    "the last cycle short of the end": (
        "plan", "cycle / (len(lengths) - 1)", "cycle / len(lengths)", SIZES
    ),
    "no full first epoch": ("plan", 'begin = 1 if first == "full" else 0', "begin = 0", SIZES),
    "no full last epoch": ("plan", "epochs - _final(final_full, epochs)", "epochs", SIZES),
    "an interval rounded up": ("plan", "whole_part(interval)", "math.ceil(interval)", INTERVALS),
    "an interval cut by a rounding error": (
        "plan", "whole_part(interval)", "math.floor(interval)", INTERVALS
    ),
    "an interval by the cycle": ("plan", "every(done / (epochs", "every(len(lengths) / (epochs", INTERVALS),  # noqa: E501
    "floor for ceil in the steps": (
        "plan", "n // step if drop_last else -(-n // step)", "n // step", STEPS
    ),
    "ceil for floor in the steps": (
        "plan", "n // step if drop_last else -(-n // step)", "-(-n // step)", STEPS
    ),
    "a partial accumulation forgotten": (
        "plan", "-(-count // grad_accum)", "count // grad_accum", STEPS
    ),
    "accumulation over epochs": (
        "plan", "sum(-(-count // grad_accum) for count in batches)",
        "-(-sum(batches) // grad_accum)", STEPS,
    ),
    "one process": ("plan", "step = batch_size * world_size", "step = batch_size", STEPS),
    "a cosine the wrong way": ("schedules", "(1 - math.cos", "(1 + math.cos", FORMULAS),
    "half a cosine twice": ("schedules", "math.cos(math.pi * progress)", "math.cos(2 * math.pi * progress)", FORMULAS),  # noqa: E501
    "from the end to the start": (
        "schedules", "(1 - share) * self.start + share * self.end",
        "share * self.start + (1 - share) * self.end", FORMULAS,
    ),
    "a stage too few": ("schedules", "/ (self.stages - 1)", "/ self.stages", FORMULAS),
    "a stage cut by a rounding error": (
        "schedules", "whole_part(progress * self.stages)", "int(progress * self.stages)", STAGES
    ),
    # --- memory, state, report
    "a negative id from the end": ("memory", "if low < 0 or high", "if high", RANGE),
    "unseen as zero": (
        "memory", 'torch.full((samples,), float("inf"), device=device)',
        "torch.zeros(samples, device=device)", COUNTS,
    ),
    "infinities as unseen": ("memory", "values.clamp(-LARGEST, LARGEST)", "values", COUNTS),
    "counts that wait for the end": (
        "teacher", "times = memory.times + (memory.taught_at.cpu() == max(self._epoch, 0))",
        "times = memory.times", COUNTS,
    ),
    "epochs not counted": ("memory", "self.times += self.taught_at.cpu() == epoch",
        "self.times += self.taught_at.cpu() > epoch", COUNTS,
    ),
    "losses as scores of their own": (
        "teacher", "elif self.options.select in OWN_SCORES:", "elif False:", COUNTS
    ),
    "teaching as scoring": (
        "memory", "if self.scored_at is None and taught != (scores is not None):",
        "if False:", COUNTS,
    ),
    "the checksum is not compared": (
        "state", 'if _checksum_or_none(saved) != saved["checksum"]:', "if False:", REFUSED
    ),
    "the checksum leaves tensors out": (
        "state", 'for name in sorted(saved["tensors"]):', "for name in ():", REFUSED
    ),
    "whose state it is, is not asked": ("state", "if theirs != mine:", "if False:", REFUSED),
    "a state that goes on changing": (
        "state", 't.detach().to("cpu", copy=True)', "t.detach()", SNAPSHOT
    ),
    "taught epochs shared with the state": (
        "teacher", '"taught": list(self._taught)', '"taught": self._taught', SNAPSHOT
    ),
    "the selection is not saved": (
        "teacher", 'self._chosen = _copy(tensors["chosen"])', "self._chosen = None", RESUMED
    ),
    "when samples were taught is not saved": (
        "memory", '"scores", "taught_at", "scored_at", "times"):\n            t = tensors',
        '"scores", "scored_at", "times"):\n            t = tensors', RESUMED,
    ),
    "the scores are not saved": (
        "memory", '"scores", "taught_at", "scored_at", "times"):\n            t = tensors',
        '"taught_at", "scored_at", "times"):\n            t = tensors', RESUMED,
    ),
    "the position is not saved": (
        "teacher", 'self._taught = list(numbers["taught"])',
        'self._taught = [0] * len(numbers["taught"])', RESUMED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_error_breaks_its_law(name):
    module, old, new, law = EDITS[name]
    edited = laws.rebuilt(module, old, new)
    with pytest.raises((AssertionError, ValueError, IndexError)):
        law(edited)


@pytest.mark.parametrize("law", {edit[3] for edit in EDITS.values()}, ids=lambda law: law.__name__)
def test_the_law_holds_of_the_source_as_it_is(law):
    law(laws.rebuilt())


def test_an_edit_that_is_stale_is_told():
    with pytest.raises(AssertionError, match="stands once in plan"):
        laws.rebuilt("plan", "no such line", "")
