"""Samples against time: the recipes of Appendix C and the schedule of the published code."""

from typing import Any

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, never, printed, rounded

_COSTS = "reported_costs:replay_"
_LLMS = [[1, row, 0] for row in range(6)]  # minutes without and with, model by model
_MINUTES = [246, 213, 204, 180, 228, 201]
_RECIPE = [[9, 0, 0], [9, 1, 0], *_LLMS]  # epochs, per cent kept, minutes
_RANDOM = [[9, 2, 0], [9, 2, 1], [3, 0, 0], [3, 1, 0]]  # ratios, full run, random selection
_INTERVALS = [
    [5, 5, 5, 5, 5, 5, 5, 5, 5, 5],
    [5, 5, 6, 6, 7, 7, 8, 8, 9, 10],
    [5, 10, 15, 20, 25, 30, 35, 40, 45, 50],
]
_FULL_SHARE = ["434/10", "568/10"]
_SETTING = [[9, 2, 0], [9, 2, 1], [9, 3, 0]]  # ratios, epochs
_TABLE_2 = [*_SETTING, [2, 0, 0], [2, 1, 0]]


def _published(interval: list[int], passes: int, price: str) -> dict[str, Any]:
    """Ten cycles; one scoring pass in each, or for soft selection (0) one in each chosen epoch."""
    return {"at": _TABLE_2, "cycles": 10, "interval": interval, "passes": passes, "pass": price}


# the code's Fixed interval, its default Incremental one, and that of the README
_PUBLISHED = [
    _published(interval, passes, price)
    for interval in ([5, 5], [5, 10], [5, 50])
    for passes in (1, 0)
    for price in ("0/1", "1/3", "1/1")
]
# what is saved, in per cent, if a pass costs a third of an epoch
_AT_A_THIRD = (
    ("defaults", [5, 5], 1, "23/6"),
    ("defaults, soft", [5, 5], 0, "13/6"),
    ("README", [5, 50], 1, "347/24"),
    ("README, soft", [5, 50], 0, "41/12"),
)
_FIXED_ROWS = [
    {
        "at": [*_SETTING, [3, 0, 0], [3, row, 0]],
        "cycles": 10,
        "interval": [5, 5],
        "passes": passes,
        "pass": "1/1",
    }
    for row, passes in ((3, 0), (5, 0), (7, 1), (9, 1))
]

CLAIMS = (
    Claim(
        key="llm-time-follows-samples",
        number="Section 5",
        kind="sentence",
        locus="Section 5, paragraph on language models; Appendix C.1",
        statement="In fine-tuning, the time falls by what is not selected.",
        encoded="One epoch of five on all data and four on 70 per cent leave out 24 % of the "
        "samples; losses of training are the scores, so that no pass is added. The mean saving by "
        "Table 1, within its plus-minus and rounding, reaches that.",
        checks=never(
            "time falls as samples do",
            [{"at": _RECIPE}],
            "time falls by a third of the samples",
            spreads=True,
        ),
        expected=record("refuted"),
        found="12.34 % less time, at most 14.30 % within the plus-minus: about half.",
        counterexample=case(_COSTS + "time_falls_as_samples_do", at=_RECIPE, x=[5, 70, *_MINUTES]),
    ),
    Claim(
        key="llm-time-per-sample",
        number="Table 1",
        kind="repair",
        locus="Table 1, minutes; Appendix C.1",
        statement="By Table 1 a sample took 15.3 % longer with the teacher than without, as a mean "
        "over models; with times rounded, 14.79 % to 15.90 %.",
        encoded="The ratio of the times over the share of the samples, 76 %, less one; at all "
        "corners of the rounding.",
        checks=(
            printed(
                "time per sample between the ends",
                [{"at": _RECIPE, "ends": ["1479/100", "1590/100"]}],
                "time per sample between the ends, narrower",
                corners=True,
            ),
            printed(
                "time per sample between the ends",
                [{"at": _RECIPE, "ends": ["1525/100", "1535/100"]}],
                "time per sample between the ends, much narrower",
            ),
            rounded(
                "time per sample between the ends",
                [{"at": _RECIPE, "ends": ["1479/100", "1590/100"]}],
                "time per sample between the ends, much narrower",
            ),
        ),
        expected=record("verified"),
        found="The table does not say why: selection that costs time, or longer samples chosen, "
        "would both do it.",
        requires=("llm-mean-saving",),
        repairs="llm-time-follows-samples",
    ),
    Claim(
        key="vit-time-follows-ratio",
        number="Appendix C.2",
        kind="sentence",
        locus="Appendix C.2, paragraph on the setting; Table 3",
        statement="In pre-training, each epoch takes the selected 20 to 80 per cent of the "
        "samples, and time goes by samples.",
        encoded="A ratio that rises along half a cosine, as in the Random row of Table 3, or in "
        "equal steps; equal intervals, or the growing ones of the published code. That row, which "
        "needs no scores, took at most the mean ratio of the full run's time.",
        checks=never(
            "time follows the ratio",
            [
                {"at": _RANDOM, "intervals": intervals, "cosine": cosine}
                for intervals in _INTERVALS
                for cosine in (0, 1)
            ],
            "time exceeds the ratio",
        ),
        expected=record("refuted"),
        found="966 of 1234 minutes are 78.3 %, where the mean ratio is 50 to 62 %.",
        counterexample=case(
            _COSTS + "time_follows_the_ratio",
            at=_RANDOM,
            x=[20, 80, 1234, 966],
            intervals=_INTERVALS[2],
            cosine=1,
        ),
    ),
    Claim(
        key="vit-epochs-on-all-data",
        number="Table 3",
        kind="repair",
        locus="Table 3, Random row; Appendix C.2",
        statement="If time goes by samples, 43 to 57 % of the epochs of the Random row were on all "
        "data, depending on the intervals.",
        encoded="The share q with q + (1 - q) r the share of the time, r the mean ratio of the "
        "row's cosine for each of the three lists of intervals; at all corners of the rounding.",
        checks=(
            printed(
                "full epochs between the ends",
                [
                    {"at": _RANDOM, "intervals": intervals, "cosine": 1, "ends": _FULL_SHARE}
                    for intervals in _INTERVALS
                ],
                "full epochs between the ends, narrower",
                corners=True,
            ),
            rounded(
                "full epochs between the ends",
                [
                    {"at": _RANDOM, "intervals": intervals, "cosine": 1, "ends": _FULL_SHARE}
                    for intervals in _INTERVALS
                ],
                "full epochs between the ends, much narrower",
            ),
        ),
        expected=record("verified"),
        found="The published code does go back to all data after each interval; the paper does not "
        "say so.",
        repairs="vit-time-follows-ratio",
    ),
    Claim(
        key="published-schedule-saving",
        number="Table 2",
        kind="sentence",
        locus="Table 2, minutes, and the code that the reproducibility statement points to",
        statement="The published schedule, with its defaults or the example of its README, saves "
        "the time that Table 2 reports.",
        encoded="Rules read from the code: one epoch on all data, then ten cycles of 79 epochs; a "
        "cycle scores, trains for its interval on a ratio of 20 to 80 per cent, and on all data to "
        "its end. Supposed: an epoch costs in proportion to its samples, and scoring all samples 0 "
        "to 1 epochs. The case is the kindest: the longest intervals and free scoring.",
        checks=never("schedule reaches the saving", _PUBLISHED, "schedule misses the saving"),
        expected=record("refuted"),
        found="At best 681 of 800 epochs remain, 14.9 % less, where the table has 20.58 %. With 79 "
        "as the longest interval hard selection would reach it, if a scoring pass cost a third.",
        counterexample=case(
            _COSTS + "schedule_reaches_the_saving",
            at=_TABLE_2,
            x=[20, 80, 800, 1234, 980],
            cycles=10,
            interval=[5, 50],
            passes=1,
            **{"pass": "0/1"},
        ),
    ),
    Claim(
        key="published-schedule-cost",
        number="Table 3",
        kind="repair",
        locus="Tables 2 and 3, minutes, and the published code",
        statement="On the same suppositions the published schedules save at most 14.875 % of 800 "
        "epochs, and with the Fixed interval they lengthen a full run by less than any such row "
        "of Table 3 does.",
        encoded="Both selections, three intervals, and the price of a scoring pass at 0, 1/3 and "
        "1: cost is linear in it. Drawn with the cosine ratio too, whose ratios are higher where "
        "intervals are longer.",
        checks=(
            printed(
                "schedule saves at most",
                [{**given, "most": "119/8"} for given in _PUBLISHED],
                "schedule saves at most, a hundredth less",
            ),
            *(
                printed(
                    "schedule saves at most",
                    [{**_published(interval, passes, "1/3"), "most": most}],
                    "schedule saves at most, a hundredth less",
                    where=words,
                )
                for words, interval, passes, most in _AT_A_THIRD
            ),
            printed("schedule is shorter", _FIXED_ROWS, "schedule is as long", corners=True),
            rounded(
                "schedule saves at most",
                [
                    {**given, "most": "119/8", "cosine": cosine}
                    for given in _PUBLISHED
                    for cosine in (0, 1)
                ],
                "schedule saves at most, a hundredth less",
            ),
        ),
        expected=record("verified"),
        found="If a pass costs 1/3 of an epoch: the defaults save 3.8 %, soft selection 2.2 %; "
        "with the README's interval 14.5 % and 3.4 %. The Fixed rows of Table 3 took 4.1 % to 6.9 "
        "% longer than the full run, the schedules at most 2 % longer.",
        requires=("growing-interval-saves", "vit-saving"),
        repairs="published-schedule-saving",
    ),
)
