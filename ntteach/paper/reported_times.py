"""Tables 1 to 3, the abstract and Sections 5 and 6: the training time that is saved."""

from itertools import chain

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, never, printed, rounded

_SAVINGS, _SCORES = "reported_savings:replay_", "reported_scores:replay_"
# places are table, row, column; table 0 holds the figures of the text
_HEADLINE, _VIT, _AVERAGE = [0, 0, 0], [0, 1, 0], [0, 2, 0]
_MODELS = [[[1, row, 0], [1, row + 1, 0]] for row in (0, 2, 4)]  # minutes without and with
_LLMS = [place for model in _MODELS for place in model]
_MINUTES = [246, 213, 204, 180, 228, 201]
_VIT_PAIR = [[2, 0, 0], [2, 1, 0]]
_MEAN, _TOTAL = ["1192/100", "1276/100"], ["1197/100", "1281/100"]
_GROWING, _FIXED = (1, 2, 4, 6, 8), (3, 5, 7, 9)  # rows of Table 3 by their interval
_LOWER = [(2, 1), (6, 1), (6, 2), (8, 1), (8, 2)]  # scores of Table 3 below the full run's

CLAIMS = (
    Claim(
        key="llm-headline-saving",
        number="Abstract",
        kind="sentence",
        locus="Abstract; end of Section 1; Section 6",
        statement="Fine-tuning of language models takes 13.01 % less time.",
        encoded="By Table 1, in any reading: the mean over models, or the share of their time "
        "together, for all three, or the saving of a single one; each time may be any number that "
        "rounds to the minute printed, and the figure may be rounded too.",
        checks=never(
            "some saving gives the figure",
            [
                {"at": [_HEADLINE, *chain.from_iterable(models)], "ends": [11, 14]}
                for models in (*([one] for one in _MODELS), _MODELS)
            ],
            "savings of runs between the ends",
        ),
        expected=record("refuted"),
        found="None of these readings gives it. The nearest is LLaMA alone, with at least 13.03 %.",
        counterexample=case(
            _SAVINGS + "figure_is_a_saving", at=[_HEADLINE, *_LLMS], x=["1301/100", *_MINUTES]
        ),
    ),
    Claim(
        key="llm-mean-saving",
        number="Table 1",
        kind="repair",
        locus="Table 1, minutes",
        statement="By Table 1 fine-tuning took 12.34 % less time, as a mean over the three models; "
        "with times rounded to the minute, between 11.92 % and 12.76 %.",
        encoded="The mean of the three shares saved. It grows with each full time and falls with "
        "each other one, so its ends are at corners of the rounding, which are all tried exactly; "
        "ends closer by a hundredth are not kept.",
        checks=(
            printed(
                "mean saving between the ends",
                [{"at": _LLMS, "ends": _MEAN}],
                "mean saving between the ends, narrower",
                corners=True,
            ),
            printed(
                "mean saving between the ends",
                [{"at": _LLMS, "ends": ["12335/1000", "12345/1000"]}],
                "total saving between the ends",
                where="the figure",
            ),
            printed(
                "figure is a saving",
                [{"at": [_HEADLINE, *_MODELS[0], *other]} for other in _MODELS[1:]],
                "figure is a single saving",
                where="two models only",
            ),
            rounded(
                "mean saving between the ends",
                [{"at": _LLMS, "ends": _MEAN}],
                "mean saving between the ends, much narrower",
            ),
        ),
        expected=record("verified"),
        found="LLaMA 13.41 %, Mistral 11.76 %, Gemma 11.84 %. Of LLaMA and either one of the "
        "others 13.01 % is just within what the rounding allows.",
        repairs="llm-headline-saving",
    ),
    Claim(
        key="llm-average-saving",
        number="Section 5",
        kind="sentence",
        locus="Section 5, paragraph on language models",
        statement="On average over the models, fine-tuning takes 12.78 % less time.",
        encoded="The mean of the three models' savings by Table 1; times that round to the minutes "
        "printed, and the figure rounded too.",
        checks=never(
            "mean saving gives the figure",
            [{"at": [_AVERAGE, *_LLMS], "ends": _MEAN}],
            "saving beside the figure between the ends",
        ),
        expected=record("refuted"),
        found="The mean is 12.34 %, and at most 12.76 % if all six times were rounded its way: "
        "narrowly not 12.78 %.",
        counterexample=case(
            _SAVINGS + "figure_is_the_mean_saving",
            at=[_AVERAGE, *_LLMS],
            x=["1278/100", *_MINUTES],
        ),
    ),
    Claim(
        key="llm-total-saving",
        number="Section 5",
        kind="repair",
        locus="Section 5, paragraph on language models; Table 1",
        statement="Of the time of the three models together 12.39 % was saved; with times rounded "
        "to the minute, between 11.97 % and 12.81 %. So 12.78 % is within reach of the rounding.",
        encoded="One less the sum of the shorter times over the sum of the full ones, at all "
        "corners of the rounding. That the figure is reached is an existence: an interval that "
        "meets another, and a point on a line from the printed times to a corner.",
        checks=(
            printed(
                "total saving between the ends",
                [{"at": _LLMS, "ends": _TOTAL}],
                "total saving between the ends, narrower",
                corners=True,
            ),
            printed(
                "total saving between the ends",
                [{"at": _LLMS, "ends": ["12385/1000", "12395/1000"]}],
                "mean saving between the ends",
                where="the figure",
            ),
            printed(
                "figure is the total saving",
                [{"at": [_AVERAGE, *_LLMS]}],
                "figure is the mean saving",
            ),
            rounded(
                "total saving between the ends",
                [{"at": _LLMS, "ends": _TOTAL}],
                "total saving between the ends, much narrower",
            ),
            check(
                "times that round to those printed and give the figure",
                "sample",
                "reported_checks:somewhere",
                law="total saving gives the figure",
                cases=[{"at": [_AVERAGE, *_LLMS]}],
                controls=("mean saving gives the figure",),
            ),
        ),
        expected=record("verified"),
        found="12.78 % may be the share of all the time, if nearly every time was rounded in its "
        "favour; 13.01 % may not.",
        repairs="llm-average-saving",
    ),
    Claim(
        key="llm-one-figure",
        number="Section 5",
        kind="sentence",
        locus="Abstract against Section 5, paragraph on language models",
        statement="What the abstract and Section 5 report as the time saved in fine-tuning "
        "language models is one figure.",
        encoded="Two numbers with two decimals agree if they may be one number, rounded twice.",
        checks=never("figures agree", [{"at": [_HEADLINE, _AVERAGE]}], "figures agree up to one"),
        expected=record("refuted"),
        found="13.01 % and 12.78 % differ by 0.23 points; nothing says that they are averages of "
        "different kinds.",
        counterexample=case(
            _SAVINGS + "figures_agree", at=[_HEADLINE, _AVERAGE], x=["1301/100", "1278/100"]
        ),
    ),
    Claim(
        key="llm-figures-within-spreads",
        number="Table 1",
        kind="repair",
        locus="Table 1, minutes with their plus-minus",
        statement="Both figures are mean savings that the plus-minus of Table 1 allows: within it "
        "and the rounding, the mean is anything from 10.34 % to 14.30 %.",
        encoded="For each figure there are times, no further from those printed than their "
        "plus-minus and half a minute, whose mean saving rounds to it. What the plus-minus is "
        "the table does not say.",
        checks=(
            printed(
                "figure is the mean saving, within spreads",
                [{"at": [figure, *_LLMS]} for figure in (_HEADLINE, _AVERAGE)],
                "figure is the mean saving",
            ),
            check(
                "times within the plus-minus that give the figures",
                "sample",
                "reported_checks:somewhere",
                law="mean saving gives the figure, within spreads",
                cases=[{"at": [figure, *_LLMS]} for figure in (_HEADLINE, _AVERAGE)],
                controls=("mean saving gives the figure",),
                spreads=True,
            ),
        ),
        expected=record("verified"),
        found="Times with such a spread support a saving of about 12 %, and no decimals.",
        repairs="llm-one-figure",
    ),
    Claim(
        key="saving-range",
        number="Section 6",
        kind="sentence",
        locus="Section 6, first paragraph",
        statement="The time saved is between 13.01 % and 20.58 %; strict reading: in each "
        "comparison.",
        encoded="In each of the four comparisons of Tables 1 and 2, with times and ends rounded.",
        checks=never(
            "savings between the ends",
            [{"at": model, "ends": ["13005/1000", "20585/1000"]} for model in _MODELS[1:]],
            "savings between the ends, two wider",
        ),
        expected=record("refuted"),
        found="Mistral and Gemma saved less: 11.76 % and 11.84 %, at most 12.26 % by rounding.",
        counterexample=case(
            _SAVINGS + "savings_lie_between",
            at=_MODELS[1],
            x=_MINUTES[2:4],
            ends=["13005/1000", "20585/1000"],
        ),
    ),
    Claim(
        key="saving-range-of-tables",
        number="Section 6",
        kind="repair",
        locus="Section 6, first paragraph; Tables 1 and 2",
        statement="By Tables 1 and 2 the time saved is between 11.76 % and 20.58 %, with times "
        "rounded between 11.30 % and 20.66 %.",
        encoded="Each of the four savings, at all corners of the rounding.",
        checks=(
            printed(
                "savings between the ends",
                [{"at": pair, "ends": ["1176/100", "2059/100"]} for pair in (*_MODELS, _VIT_PAIR)],
                "savings between the ends, narrower",
            ),
            printed(
                "savings between the ends",
                [{"at": pair, "ends": ["1130/100", "2066/100"]} for pair in (*_MODELS, _VIT_PAIR)],
                "savings between the ends, narrower",
                corners=True,
            ),
            rounded(
                "savings between the ends",
                [{"at": pair, "ends": ["1130/100", "2066/100"]} for pair in (*_MODELS, _VIT_PAIR)],
                "savings between the ends, much narrower",
            ),
        ),
        expected=record("verified"),
        found="The lower end is Mistral's, the upper one that of the vision transformer.",
        requires=("llm-mean-saving", "vit-saving"),
        repairs="saving-range",
    ),
    Claim(
        key="vit-saving",
        number="Table 2",
        kind="table",
        locus="Table 2, minutes; abstract, Sections 1, 5 and 6",
        statement="Training the vision transformer from scratch took 20.58 % less time.",
        encoded="1234 and 980 minutes as printed give the figure, rounded; with minutes rounded it "
        "is between 20.51 % and 20.66 %. One run each, no plus-minus.",
        checks=(
            printed(
                "mean saving gives the figure",
                [{"at": [_VIT, *_VIT_PAIR]}],
                "speed-up gives the figure",
            ),
            printed(
                "savings between the ends",
                [{"at": _VIT_PAIR, "ends": ["2051/100", "2066/100"]}],
                "savings between the ends, narrower",
                corners=True,
            ),
            rounded(
                "savings between the ends",
                [{"at": _VIT_PAIR, "ends": ["2051/100", "2066/100"]}],
                "savings between the ends, much narrower",
            ),
        ),
        expected=record("verified"),
        found="This figure is that of its table.",
    ),
    Claim(
        key="every-schedule-saves",
        number="Section 6",
        kind="sentence",
        locus="Section 6, first paragraph, with the schedules of Table 3",
        statement="Teaching takes less wall-clock time; strict reading: whatever its schedule.",
        encoded="No row of Table 3 took longer than the full run. Rounding keeps the order of two "
        "numbers that are printed apart.",
        checks=never(
            "first is no lower",
            [{"at": [[3, 0, 0], [3, row, 0]]} for row in _FIXED],
            "first is lower",
        ),
        expected=record("refuted"),
        found="All four rows with the Fixed interval took longer: 1285 to 1319 minutes, the full "
        "run 1234.",
        counterexample=case(
            _SCORES + "first_is_no_lower", at=[[3, 0, 0], [3, 7, 0]], x=[1234, 1285]
        ),
    ),
    Claim(
        key="growing-interval-saves",
        number="Table 3",
        kind="repair",
        locus="Table 3, minutes",
        statement="The rows with the Incremental interval saved 19.29 % to 22.04 % of the time, "
        "and those with the Fixed one took 4.05 % to 6.98 % more, with times rounded.",
        encoded="Each of nine rows against the full run, at all corners of the rounding. Random "
        "selection, which scores nothing, is one of the five that save.",
        checks=(
            printed(
                "savings between the ends",
                [
                    {"at": [[3, 0, 0], [3, row, 0]], "ends": ["1929/100", "2204/100"]}
                    for row in _GROWING
                ],
                "savings between the ends, narrower",
                corners=True,
            ),
            printed(
                "savings between the ends",
                [
                    {"at": [[3, 0, 0], [3, row, 0]], "ends": ["-698/100", "-405/100"]}
                    for row in _FIXED
                ],
                "savings between the ends, narrower",
                corners=True,
                where="fixed interval",
            ),
            rounded(
                "savings between the ends",
                [
                    {"at": [[3, 0, 0], [3, row, 0]], "ends": ends}
                    for rows, ends in (
                        (_GROWING, ["1929/100", "2204/100"]),
                        (_FIXED, ["-698/100", "-405/100"]),
                    )
                    for row in rows
                ],
                "savings between the ends, much narrower",
            ),
        ),
        expected=record("verified"),
        found="Whether time is saved depends on the interval. Random selection, which needs no "
        "scores, saves about what the others do.",
        repairs="every-schedule-saves",
    ),
    Claim(
        key="saving-keeps-accuracy",
        number="Abstract",
        kind="sentence",
        locus="Abstract, last sentences, with the schedules of Table 3",
        statement="The time is saved without loss of accuracy.",
        encoded="Of the four rows of Table 3 that select by scores and save time, none is below "
        "the full run in a task.",
        checks=never(
            "first is no lower",
            [{"at": [[3, row, task], [3, 0, task]]} for row, task in _LOWER],
            "first is lower",
        ),
        expected=record("refuted"),
        found="Three of the four are below it in a task or two: Soft with the Cosine ratio on "
        "ImageNetS50 by 0.1, both Hard ones on ImageNetS50 and in segmentation.",
        counterexample=case(
            _SCORES + "first_is_no_lower", at=[[3, 6, 2], [3, 0, 2]], x=["495/10", "519/10"]
        ),
    ),
    Claim(
        key="one-schedule-keeps-accuracy",
        number="Table 3",
        kind="repair",
        locus="Tables 2 and 3, scores",
        statement="Of the four rows that select by scores and save time, one is above the full run "
        "in all three tasks, that of Table 2; the four are above it in 7 of 12 scores.",
        encoded="Scores as printed, and any that round to them. On ImageNetS50 the row of Table 2 "
        "is above by 0.1, the smallest difference that can be printed, from one run each.",
        checks=(
            printed(
                "first is higher",
                [
                    {"at": [[table, row, task], [table, 0, task]]}
                    for table, row in ((2, 1), (3, 4))
                    for task in (1, 2, 3)
                ],
                "first is lower",
                "first is higher by a point",
            ),
            printed(
                "as many rise",
                [
                    {
                        "at": [
                            [3, row, task]
                            for taught in (2, 4, 6, 8)
                            for task in (1, 2, 3)
                            for row in (0, taught)
                        ],
                        "count": 7,
                    }
                ],
                "first is lower",
            ),
            rounded(
                "first is higher",
                [{"at": [[2, 1, task], [2, 0, task]]} for task in (1, 2, 3)],
                "first is lower",
                "first is higher by a point",
            ),
        ),
        expected=record("verified"),
        found="Table 2 shows the one schedule of the four for which the sentence holds.",
        requires=("growing-interval-saves",),
        repairs="saving-keeps-accuracy",
    ),
)
