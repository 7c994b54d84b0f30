"""Laws on how samples are scored and drawn in practice, against the choice of Eq. 21.

By losses, by scores that are old, or by perturbed scores with a temperature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, replayed, show
from ntteach.paper.evidence.attention_domains import Domain
from ntteach.paper.evidence.reduction_numbers import at_most, matrix
from ntteach.paper.evidence.selection_choices import fits, largest, named, sizes
from ntteach.paper.evidence.selection_steps import decided, read_choosing, tidy_all

Given = Mapping[str, Any]


# --- by losses ------------------------------------------------------------------------------------


def _probabilities(given: Given, arithmetic: Arithmetic) -> Array:
    """Softmax of logits that are whole multiples of log 2, one row for each sample."""
    powers = [[arithmetic.number("2") ** int(z) for z in row] for row in given["logits"]]
    return np.array([[x / sum(row) for x in row] for row in powers], dtype=_kind(arithmetic))


def _kind(arithmetic: Arithmetic) -> Any:
    return float if isinstance(arithmetic.number("1"), float) else object


def loss_orders_as_cross_entropy(given: Given, arithmetic: Arithmetic) -> Finding:
    """Of two samples the one with the larger cross-entropy has no smaller residual.

    The residual is the norm of p - y, probabilities less the label, which is f - f* if the outputs
    are probabilities. The cross-entropy falls with the probability of the true class, so that no
    logarithm is needed to compare two.
    """
    p, labels = _probabilities(given, arithmetic), given["labels"]
    truth = np.array(
        [[int(c == label) for c in range(p.shape[1])] for label in labels], dtype=p.dtype
    )
    squares = sizes(p - truth)
    mine = [p[i, label] for i, label in enumerate(labels)]
    higher = not at_most(mine[1], mine[0])
    return Finding(
        (
            Hypothesis("labels are classes", str(labels), all(0 <= c < p.shape[1] for c in labels)),
            Hypothesis(
                "the first of two losses is larger",
                f"-log p of p = {show(mine[0])} and {show(mine[1])}",
                higher,
            ),
        ),
        f"|p - y|^2 is no smaller for the first, {show(p[0])}, than for the second, {show(p[1])}",
        f"{show(squares[0])} and {show(squares[1])}",
        at_most(squares[1], squares[0]),
    )


def true_class_orders(given: Given, arithmetic: Arithmetic) -> Finding:
    """The same with the residual of the true class alone, 1 - p: this is true."""
    finding = loss_orders_as_cross_entropy(given, arithmetic)
    p = _probabilities(given, arithmetic)
    off = [1 - p[i, label] for i, label in enumerate(given["labels"])]
    return Finding(
        finding.hypotheses,
        "1 - p of the true class is no smaller for the first",
        f"{show(off[0])} and {show(off[1])}",
        at_most(off[1], off[0]),
    )


def losses_choose(given: Given, arithmetic: Arithmetic, *, loss: str = "squared") -> Finding:
    """The subsets of m sequences with the largest losses are those of Eq. 21.

    For the absolute loss, or for squares weighed by 1, 4, 9, ..., this is false.
    """
    outputs, targets = (matrix(given[name], arithmetic) for name in ("outputs", "targets"))
    residuals, size = outputs - targets, given["size"]
    weights = [(c + 1) ** 2 if loss == "weighted" else 1 for c in range(outputs.shape[1])]
    by_loss = [
        sum(abs(x) for x in row)
        if loss == "absolute"
        else sum(w * x * x / 2 for w, x in zip(weights, row, strict=True))
        for row in residuals
    ]
    one, other = largest(by_loss, size), largest(sizes(residuals), size)
    return Finding(
        (fits(len(residuals), size),),
        f"Eq. 21 chooses {named(other)}",
        f"the losses choose {named(one)}",
        one == other,
    )


def padded_scores_order(given: Given, arithmetic: Arithmetic, *, padded: bool) -> Finding:
    """Of two samples, that with the larger mean loss over its tokens has no smaller score.

    `given["tokens"]` holds the losses of the tokens of each sample, and `given["padded"]` the
    length its batch is padded to. A score is the sum over the length padded to, where padding
    counts as 0; or without `padded` over the tokens that there are, where this is true.
    """
    tokens = [[arithmetic.number(str(x)) for x in row] for row in given["tokens"]]
    lengths = given["padded"]
    means = [sum(row) / len(row) for row in tokens]
    scores = [
        sum(row) / (length if padded else len(row))
        for row, length in zip(tokens, lengths, strict=True)
    ]
    own = [len(row) for row in tokens]
    return Finding(
        (
            Hypothesis(
                "padded to no less than its tokens",
                f"{own} tokens in {lengths} places",
                all(n <= length for n, length in zip(own, lengths, strict=True)),
            ),
            Hypothesis(
                "the first of two means is larger",
                f"{show(means[0])} and {show(means[1])}",
                not at_most(means[0], means[1]),
            ),
        ),
        "the score of the first is no smaller",
        f"scores {show(scores[0])} and {show(scores[1])}",
        at_most(scores[1], scores[0]),
    )


# --- by scores that are old -----------------------------------------------------------------------


def old_choice_is_greedy(given: Given, arithmetic: Arithmetic, *, still: bool = False) -> Finding:
    """After a step of Algorithm 1 on the choice of Eq. 21, that choice is one of Eq. 21 again.

    With `still` no step is made, and it is.
    """
    choosing = read_choosing(given, arithmetic)
    hypotheses = decided(choosing)
    if not hypotheses[-1].met:
        return Finding(hypotheses, "one choice", "no single choice", True)
    (chosen,) = choosing.greedy
    case = choosing.case
    eta = 0 * case.eta if still else case.eta
    step = eta / (choosing.size * choosing.per) * (case.K @ choosing.taken(chosen))
    after = tidy_all(case.residuals - step)
    fresh = largest(sizes(after.reshape(choosing.count, choosing.per)), choosing.size)
    return Finding(
        hypotheses,
        f"the choice before the step, {named([chosen])}, is that after it",
        f"residuals {show(case.residuals)}, after a step of {show(eta)} on {named([chosen])} "
        f"{show(after)}: Eq. 21 chooses {named(fresh)}",
        chosen in fresh,
    )


# --- by perturbed scores --------------------------------------------------------------------------


def keys(
    scores: Sequence[Any], noise: Sequence[Any], temperature: Any, *, on_noise: bool
) -> list[Any]:
    """What a soft choice takes the largest of: the temperature on the score, or on both."""
    return [
        (score + one) / temperature if on_noise else score / temperature + one
        for score, one in zip(scores, noise, strict=True)
    ]


def cold_choice_is_hard(given: Given, arithmetic: Arithmetic, *, on_noise: bool) -> Finding:
    """Where scores differ by more than the temperature times the noise, the highest are chosen."""
    scores, noise = (
        [arithmetic.number(str(x)) for x in given[name]] for name in ("scores", "noise")
    )
    temperature, size = arithmetic.number(str(given["temperature"])), given["size"]
    gaps = [abs(a - b) for i, a in enumerate(scores) for b in scores[i + 1 :]]
    apart = temperature * (max(noise) - min(noise))
    chosen = largest(keys(scores, noise, temperature, on_noise=on_noise), size)
    return Finding(
        (
            fits(len(scores), size),
            Hypothesis("the temperature is above zero", show(temperature), temperature > 0),
            Hypothesis(
                "all scores differ by more than temperature times noise",
                f"the least difference is {show(min(gaps, default=0))}, that of the noise times "
                f"the temperature {show(apart)}",
                bool(gaps) and all(not at_most(gap, apart) for gap in gaps),
            ),
        ),
        f"the highest scores are chosen: {named(largest(scores, size))}",
        f"the largest keys are those of {named(chosen)}",
        chosen == largest(scores, size),
    )


def temperature_changes_nothing(
    given: Given, arithmetic: Arithmetic, *, on_noise: bool = True
) -> Finding:
    """A temperature that divides score and noise chooses what no temperature chooses."""
    scores, noise = (
        [arithmetic.number(str(x)) for x in given[name]] for name in ("scores", "noise")
    )
    temperature, size = arithmetic.number(str(given["temperature"])), given["size"]
    one = largest(keys(scores, noise, temperature, on_noise=on_noise), size)
    other = largest([a + b for a, b in zip(scores, noise, strict=True)], size)
    return Finding(
        (
            fits(len(scores), size),
            Hypothesis("the temperature is above zero", show(temperature), temperature > 0),
        ),
        f"as without a temperature, {named(other)}",
        f"{named(one)}",
        one == other,
    )


LAWS: dict[str, Law] = {
    "losses order as residuals, cross-entropy": loss_orders_as_cross_entropy,
    "losses order as the true class, cross-entropy": true_class_orders,
    "losses choose": losses_choose,
    "losses choose, absolute": partial(losses_choose, loss="absolute"),
    "losses choose, weighted": partial(losses_choose, loss="weighted"),
    "padded scores order as means": partial(padded_scores_order, padded=True),
    "scores over tokens order as means": partial(padded_scores_order, padded=False),
    "old choice is greedy": old_choice_is_greedy,
    "old choice is greedy, no step": partial(old_choice_is_greedy, still=True),
    "cold choice is hard": partial(cold_choice_is_hard, on_noise=False),
    "cold choice is hard, on noise too": partial(cold_choice_is_hard, on_noise=True),
    "temperature changes nothing": temperature_changes_nothing,
    "temperature changes nothing, on the score": partial(
        temperature_changes_nothing, on_noise=False
    ),
}


def _whole(low: int, high: int, size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=size, max_size=size)


DOMAINS: dict[str, Domain] = {
    "two labelled samples": (
        [
            st.fixed_dictionaries(
                {
                    "logits": st.lists(_whole(-3, 3, classes), min_size=2, max_size=2),
                    "labels": _whole(0, classes - 1, 2),
                }
            )
            for classes in (2, 3, 4)
        ],
        "two samples of 2 to 4 classes, logits whole multiples of log 2 from -3 to 3",
    ),
    "padded token losses": (
        [
            st.tuples(
                st.lists(
                    st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=2, max_size=2
                ),
                _whole(0, 3, 2),
            ).map(
                lambda drawn: {
                    "tokens": drawn[0],
                    "padded": [len(row) + more for row, more in zip(*drawn, strict=True)],
                }
            )
        ],
        "two samples of 1 to 3 tokens with losses from 0 to 4, padded by 0 to 3",
    ),
    "perturbed scores": (
        [
            st.fixed_dictionaries(
                {
                    "scores": _whole(-3, 3, samples),
                    "noise": _whole(-2, 2, samples),
                    "temperature": st.sampled_from(["1/100", "1/2", "2"]),
                    "size": st.integers(1, samples - 1),
                }
            )
            for samples in (2, 3)
        ],
        "2 or 3 samples, scores from -3 to 3 with noise from -2 to 2, temperatures 1/100, 1/2, 2",
    ),
}

replay_loss_orders_as_cross_entropy = partial(replayed, loss_orders_as_cross_entropy)
replay_padded_scores_order = partial(replayed, partial(padded_scores_order, padded=True))
replay_old_choice_is_greedy = partial(replayed, old_choice_is_greedy)
replay_cold_choice_is_hard_on_noise_too = partial(
    replayed, partial(cold_choice_is_hard, on_noise=True)
)
