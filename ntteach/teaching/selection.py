"""Which k of N samples are taught next: the rules, as functions of a vector of scores.

Every rule gives each sample a key and takes the k largest (`largest`). Scores are a vector (N,) on
the CPU. An infinite score stands for a sample that nothing is known of: it comes first. NaN comes
last. Equal keys are chosen among at random. All chance is drawn from the generator that is given.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

INFINITE = float("inf")


def largest(keys: Tensor, k: int, generator: Generator) -> Tensor:
    """The places of the k largest keys, in no order; ties at random, NaN after everything else.

    Args:
        keys: (N,), floating.
        k: how many, from 1 to N.
        generator: where chance is drawn from; used only if the k-th place is tied.

    Returns:
        (k,), int64.

    Raises:
        ValueError: for another shape or a k out of range.

    Example:
        >>> largest(torch.tensor([0.5, 3.0, 1.0]), 2, Generator()).tolist()
        [1, 2]
    """
    if keys.dim() != 1 or not keys.is_floating_point():
        raise ValueError(
            f"keys are a floating vector (N,), got {keys.dtype} of shape {tuple(keys.shape)}"
        )
    if not 1 <= k <= len(keys):
        raise ValueError(f"k samples are chosen of N, 1 <= k <= N; got k={k}, N={len(keys)}")
    unknown = keys.isnan()
    if unknown.any():
        keys = keys.masked_fill(unknown, -INFINITE)
    threshold = keys.kthvalue(len(keys) - k + 1).values
    chosen = [(keys > threshold).nonzero().squeeze(1)]
    missing = k - len(chosen[0])
    for tied in ((keys == threshold) & ~unknown, unknown):
        places = tied.nonzero().squeeze(1)
        if len(places) > missing:
            places = places[torch.randperm(len(places), generator=generator)[:missing]]
        chosen.append(places)
        missing -= len(places)
        if not missing:
            break
    return torch.cat(chosen)


def random(samples: int, k: int, generator: Generator) -> Tensor:
    """k of N samples, each subset equally likely.

    Returns:
        (k,), int64.

    Example:
        >>> random(3, 3, Generator()).sort().values.tolist()
        [0, 1, 2]
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k samples are chosen of N, 1 <= k <= N; got k={k}, N={samples}")
    return torch.randperm(samples, generator=generator)[:k]


def hard(scores: Tensor, k: int, generator: Generator) -> Tensor:
    """The k largest scores: Eq. 21 where the score is the norm of f - f*.

    Example:
        >>> hard(torch.tensor([0.1, 2.0, 0.3]), 1, Generator()).tolist()
        [1]
    """
    return largest(scores, k, generator)


def logits(scores: Tensor, temperature: float = 1.0, draw_from: str = "log") -> Tensor:
    """phi = log(score) / temperature, or score / temperature: what a soft draw perturbs.

    A score of 0 counts as the smallest positive score there is, so that every sample has a chance;
    if all scores are 0, all samples are alike.

    Args:
        scores: (N,).
        temperature: above 0; towards 0 the draw is hard, towards infinity it is uniform.
        draw_from: "log" draws with weights score^(1/temperature), "score" with
            exp(score/temperature), as the paper's published code meant to.

    Returns:
        (N,), float64.

    Raises:
        ValueError: for a temperature not above 0, an unknown `draw_from`, or a negative score that
            a logarithm is to be taken of.

    Example:
        >>> logits(torch.tensor([1.0, 0.0, 4.0]), temperature=2.0).exp().tolist()
        [1.0, 1.0, 2.0]
    """
    if not 0 < temperature < INFINITE:
        raise ValueError(f"a temperature is a finite number above 0, got {temperature}")
    if draw_from not in ("log", "score"):
        raise ValueError(f'draw_from is "log" or "score", got {draw_from!r}')
    phi = log_scores(scores) if draw_from == "log" else scores.double()
    return phi / temperature


def log_scores(scores: Tensor) -> Tensor:
    """log(score), a score of 0 counting as the smallest positive one; zeros if all are 0.

    Returns:
        (N,), float64.

    Raises:
        ValueError: if a score is negative, with their number.

    Example:
        >>> log_scores(torch.tensor([1.0, 0.0])).tolist()
        [0.0, 0.0]
    """
    negative = scores < 0
    if negative.any():
        raise ValueError(
            f"{int(negative.sum())} of {len(scores)} scores are negative, and this selection takes "
            'their logarithm: give scores that are 0 or more, or draw_from="score"'
        )
    logs = scores.double().log_()
    zero = logs == -INFINITE
    if zero.any():
        positive = logs[~zero & logs.isfinite()]
        logs.masked_fill_(zero, float(positive.min()) if len(positive) else 0.0)
    return logs


def gumbel(samples: int, generator: Generator) -> Tensor:
    """Independent standard Gumbel numbers: -log of exponential ones.

    Returns:
        (N,), float64.

    Example:
        >>> gumbel(3, Generator()).shape
        torch.Size([3])
    """
    drawn = torch.empty(samples, dtype=torch.float64).exponential_(generator=generator)
    return drawn.log_().neg_()


def soft(
    scores: Tensor,
    k: int,
    generator: Generator,
    *,
    temperature: float = 1.0,
    draw_from: str = "log",
) -> Tensor:
    """k samples without replacement, one after the other in proportion to exp(phi).

    The k largest of phi + Gumbel noise (Gumbel-top-k; Kool et al. 2019), phi from `logits`: the
    temperature divides the score, never the noise.

    Returns:
        (k,), int64.

    Example:
        >>> soft(torch.tensor([0.0, 1.0]), 2, Generator()).sort().values.tolist()
        [0, 1]
    """
    phi = logits(scores, temperature, draw_from)
    return largest(phi + gumbel(len(scores), generator), k, generator)


def weighted(weights: Tensor, k: int, generator: Generator) -> Tensor:
    """k samples without replacement, one after the other in proportion to their weights.

    A weight of 0 is chosen only when no other sample is left.

    Args:
        weights: (N,), 0 or more.

    Raises:
        ValueError: for a weight that is negative or not finite.

    Example:
        >>> weighted(torch.tensor([0.0, 1.0, 2.0]), 2, Generator()).sort().values.tolist()
        [1, 2]
    """
    if not bool(((weights >= 0) & (weights < INFINITE)).all()):
        raise ValueError("weights are finite and 0 or more")
    return largest(weights.double().log() + gumbel(len(weights), generator), k, generator)


def aged_keys(scores: Tensor, ages: Tensor, strength: float, times: Tensor | None = None) -> Tensor:
    """strength log(score) + log(age): a sample comes back sooner the higher its score.

    As a sample is chosen again when its key reaches those of the others, it is taught in proportion
    to score^strength: with strength 0 all equally often, with a large one the highest alone. Among
    samples of equal keys those go first that were taught less often: at strength 0 no two counts
    ever differ by more than 1.

    Args:
        scores: (N,).
        ages: (N,), how many epochs ago a sample was last taught, at least 1.
        strength: 0 or more.
        times: (N,), how often each was taught, up to 32767; None: all alike.

    Returns:
        (N,), float64.

    Example:
        >>> aged_keys(torch.tensor([1.0, 2.0]), torch.tensor([2, 1]), 1.0).exp().tolist()
        [2.0, 2.0]
    """
    if not 0 <= strength < INFINITE:
        raise ValueError(f"a strength is a finite number, 0 or more; got {strength}")
    keys = log_scores(scores)
    if strength != 1:
        unseen = keys == INFINITE  # 0 times infinity would be NaN
        keys = torch.where(unseen, keys, strength * keys.masked_fill(unseen, 0.0))
    keys += ages.double().log_()
    # 32767 times this is less than the logarithms of any two ages differ by
    return keys if times is None else keys.sub_(times, alpha=1e-10)


def cap_scores(keys: Tensor, scores: Tensor, cap: float) -> Tensor:
    """Keys in which the samples with scores above the quantile come after all others but NaN.

    The highest losses are where wrong labels are. The quantile is the smallest score that is at
    least as large as this share of the finite ones; what is unseen is left alone.

    Args:
        keys, scores: (N,).
        cap: in (0, 1]; 1 changes nothing.

    Example:
        >>> cap_scores(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]), 0.5).tolist()
        [1.0, -inf]
    """
    if not 0 < cap <= 1:
        raise ValueError(f"a cap is a quantile in (0, 1], got {cap}")
    finite = scores.isfinite()
    count = int(finite.sum())
    if not count:
        return keys
    # 0.07 * 100 is above 7 by an error of rounding
    rank = min(count, max(1, math.ceil(cap * count - 1e-9)))
    quantile = scores[finite].kthvalue(rank).values
    return keys.masked_fill(finite & (scores > quantile), -INFINITE)


def with_others(chosen: Tensor, samples: int, count: int, generator: Generator) -> Tensor:
    """The chosen, and `count` more drawn from all samples that were not.

    Args:
        chosen: (k,) different places.
        samples: N, at least k + count.

    Returns:
        (k + count,), int64.

    Example:
        >>> with_others(torch.tensor([0, 2]), 3, 1, Generator()).tolist()
        [0, 2, 1]
    """
    if not count:
        return chosen
    others = torch.ones(samples, dtype=torch.bool)
    others[chosen] = False
    places = others.nonzero().squeeze(1)
    drawn = places[torch.randperm(len(places), generator=generator)[:count]]
    return torch.cat([chosen, drawn])


def unbiased_weights(phi: Tensor, perturbed: Tensor, chosen: Tensor) -> Tensor:
    """1 / q_i(kappa) for the chosen: weights that make sums over them right on average.

    kappa is the (k+1)-th largest of `perturbed` = phi + Gumbel noise and q_i(kappa) =
    1 - exp(-exp(phi_i - kappa)) the chance of exceeding it; then the sum of x_i / q_i over the
    chosen has the mean sum(x) (Kool et al. 2019). Where all are chosen the weights are 1. Where
    infinite keys are tied at the k-th place, q is the chance of being drawn among those; what they
    leave no room for counts as 0.

    Args:
        phi, perturbed: (N,), float64.
        chosen: (k,), the places of the k largest of `perturbed`.

    Returns:
        (k,), float64.

    Example:
        >>> unbiased_weights(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
        tensor([1., 1.], dtype=torch.float64)
    """
    k = len(chosen)
    if k == len(phi):
        return torch.ones(k, dtype=torch.float64)
    known = perturbed.masked_fill(perturbed.isnan(), -INFINITE)
    kappa = known.kthvalue(len(phi) - k).values
    tied = known == kappa
    drawn = tied[chosen]
    # an infinite gap, above kappa with certainty, makes this 1
    chances = -torch.expm1(-(phi[chosen] - kappa).exp())
    return 1 / torch.where(drawn, drawn.sum().double() / tied.sum(), chances)
