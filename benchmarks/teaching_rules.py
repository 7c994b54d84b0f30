"""What each rule takes next, restated plainly: functions of the recorded losses and a generator.

Facts of InfoBatch (8bbb012), SeTa (341df62) and Composer's selective backprop are read from their
published code; `teaching_peers.py` compares the first two with a checkout where there is one.
"""

from __future__ import annotations

import torch
from torch import Tensor


def shuffled(ids: Tensor, draw: torch.Generator) -> Tensor:
    """The same ids in a fresh order."""
    return ids[torch.randperm(len(ids), generator=draw)]


def random(samples: int, k: int, draw: torch.Generator) -> Tensor:
    """A fresh random subset of size k, each epoch (RS2 with replacement between epochs)."""
    return torch.randperm(samples, generator=draw)[:k]


def hard(scores: Tensor, k: int, draw: torch.Generator) -> Tensor:
    """The k largest scores, ties by chance, in random order.

    >>> sorted(hard(torch.tensor([1.0, 3.0, 2.0]), 2, torch.Generator()).tolist())
    [1, 2]
    """
    order = torch.randperm(len(scores), generator=draw)
    return shuffled(order[scores[order].topk(k).indices], draw)


def soft(scores: Tensor, k: int, draw: torch.Generator) -> Tensor:
    """k without replacement, one after the other with probability proportional to the score.

    The k largest of log(score) + Gumbel noise (Kool et al. 2019).
    """
    uniform = torch.rand(len(scores), generator=draw, dtype=torch.float64)
    keys = scores.double().clamp(min=1e-12).log() - (-uniform.log()).log()
    return shuffled(keys.topk(k).indices, draw)


def infobatch(scores: Tensor, prune: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """All samples with at least the mean loss, and a random share 1 - prune of those below.

    Returns:
        The ids in random order, and the weights `(N,)` of all samples: 1 / (1 - prune) for those
        that were drawn, 1 for the others.
    """
    below = scores < scores.mean()
    easy = below.nonzero()[:, 0]
    drawn = shuffled(easy, draw)[: int((1 - prune) * len(easy))]
    weights = torch.ones(len(scores))
    weights[drawn] = 1 / (1 - prune)
    return shuffled(torch.cat([(~below).nonzero()[:, 0], drawn]), draw), weights


def seta(
    scores: Tensor, number: int, prune: float, groups: int, window: float, draw: torch.Generator
) -> Tensor:
    """A random share 1 - prune, grouped by k-means on the loss; groups in a window that slides.

    In selection `number` (from 0) all groups take part; afterwards round(groups * window) of them,
    from the easiest, and each time one group further until the hardest is in, then from the start.
    """
    kept = random(len(scores), int(len(scores) * (1 - prune)), draw)
    if number == 0:
        return kept
    group = grouped(scores[kept], groups)
    size = round(groups * window)
    start = number % (groups - size + 1)
    return shuffled(kept[(group >= start) & (group < start + size)], draw)


def grouped(scores: Tensor, groups: int) -> Tensor:
    """k-means on numbers: for each the rank of its group, from the smallest losses.

    >>> grouped(torch.tensor([0.0, 5.0, 0.1, 9.0, 5.1]), 3).tolist()
    [0, 1, 0, 2, 1]
    """
    from sklearn.cluster import KMeans

    if scores.max() == scores.min():
        # nothing to group by: pieces of equal size
        return torch.arange(len(scores)) * groups // len(scores)
    fit = KMeans(n_clusters=groups, random_state=0).fit(scores[:, None].numpy())
    rank = torch.from_numpy(fit.cluster_centers_[:, 0]).argsort().argsort()
    return rank[torch.from_numpy(fit.labels_).long()]


def prunes(progress: float, number: int, start: float, end: float, interrupt: int) -> bool:
    """Whether selective backprop prunes batch `number` of an epoch: in its interval, not always.

    >>> [prunes(0.6, number, 0.5, 0.9, 2) for number in range(4)]
    [True, False, True, False]
    """
    return start <= progress < end and (interrupt == 0 or (number + 1) % interrupt != 0)


def selective(losses: Tensor, keep: float, draw: torch.Generator) -> Tensor:
    """Places in the batch that selective backprop keeps, a share `keep` of them.

    They are drawn without replacement with probability proportional to p^(1 / keep - 1), p the
    percentile of the loss in the batch.
    """
    n = len(losses)
    percentile = (torch.arange(n) + 0.5) / n
    weight = percentile ** (1 / keep - 1)
    drawn = torch.multinomial(weight, int(keep * n), replacement=False, generator=draw)
    return losses.argsort()[drawn]


def incremental(first: float, last: float, progress: float) -> float:
    """A line from `first` to `last`."""
    return first + (last - first) * progress
