"""Eq. 21 and Algorithm 1 in practice: the teacher of `ntteach.teaching`, and other scores."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, proved, refuted, searched

_LAWS = "teacher_laws:replay_"
_SCORE = "Appendices C.1 and C.2, paragraphs on the setting: losses as scores"
_SOFT = "Section 5, last paragraph: Gumbel-top-k, as the published code has it"

CLAIMS = (
    Claim(
        key="taught-choice",
        number="Eq. 21",
        kind="algorithm",
        locus="Section 4.3, after Eq. 20",
        statement="The hard selection of `ntteach.teaching`, by norms of residuals, is a choice "
        "of Eq. 21.",
        encoded="Of all subsets of m sequences none has a larger norm of stacked residuals; of "
        "tied ones any is. A choice by norms is that, for all sizes; the teacher is compared with "
        "every subset in whole numbers.",
        checks=(
            proved("selection", "threshold: norms of stacked rows"),
            check(
                "the teacher's choice against every subset",
                "implementation",
                "teacher_checks:hard_choice",
                score="residual",
            ),
        ),
        expected=record("verified"),
        found="Scores are kept in float32: norms that it does not tell apart are tied.",
        requires=("residual-selection",),
        derivation="derivations/selection.py",
    ),
    Claim(
        key="choice-made-once",
        number="Appendix C.1",
        kind="sentence",
        locus="Appendix C.1, paragraph on the setting",
        statement="Samples that are chosen once, after the first epoch, are those that Eq. 21 "
        "chooses in later steps; not said, but what one choice for all epochs supposes.",
        encoded="With all that Proposition 4 supposes and one choice by Eq. 21: after one step of "
        "Algorithm 1 on it, it is a choice of Eq. 21 still. The case is a learner with sequences "
        "of one token, (1, 0) and (0, 1), the squared loss, and eta = 1/2.",
        checks=refuted("old choice is greedy", "one of two", "old choice is greedy, no step"),
        expected=record("refuted"),
        found="Teaching makes errors small: residuals 3 and 2 become 3/2 and 2, and the other "
        "sequence is next. A choice by old scores keeps to what has been learned.",
        counterexample=case(_LAWS + "old_choice_is_greedy", J=[[1, 0], [0, 1]], g=[3, 2], size=1),
    ),
    Claim(
        key="choice-made-anew",
        number="Algorithm 1",
        kind="repair",
        locus="Appendix A.5, Algorithm 1",
        statement="A loop with the teacher of `ntteach.teaching`, told all norms of residuals "
        "before each step, takes the steps of Algorithm 1.",
        encoded="Full-batch gradient descent of an attention learner in float64, squared loss: "
        "parameters after eight steps against the algorithm restated with autograd and lists.",
        checks=(check("eight steps of a loop", "implementation", "teacher_checks:loop"),),
        expected=record("supported"),
        found="Told once, or choosing every other step, it takes other steps.",
        requires=("taught-choice", "parameter-gradient-descent"),
        repairs="choice-made-once",
    ),
    Claim(
        key="losses-as-scores",
        number="Appendix C.1",
        kind="sentence",
        locus=_SCORE,
        statement="Losses put samples in the order of their residuals, so that a choice by "
        "losses is one by Eq. 21.",
        encoded="Cross-entropy, the loss of a language model; f and f* are probabilities, as "
        "logits of a label are infinite. Of two samples the one with the larger loss has no "
        "smaller norm of f - f*.",
        checks=refuted(
            "losses order as residuals, cross-entropy",
            "two labelled samples",
            "losses order as the true class, cross-entropy",
        ),
        expected=record("refuted"),
        found="The loss sees the true class alone, the residual also how the rest is spread: four "
        "even classes have the larger loss, and a confident error that leaves 4/13 to the true "
        "class the larger residual.",
        counterexample=case(
            _LAWS + "loss_orders_as_cross_entropy",
            logits=[[0, 0, 0, 0], [3, 4, 0, 0]],
            labels=[0, 0],
        ),
    ),
    Claim(
        key="squared-losses-as-scores",
        number="Eq. 21",
        kind="repair",
        locus=_SCORE,
        statement="For the squared loss a choice by losses is one by Eq. 21.",
        encoded="A sequence's loss is half the sum of squares, so a choice by a threshold on "
        "losses is one on norms. Searched with every subset, absolute and weighted losses as "
        "mutants; and the teacher, told losses, against every subset.",
        checks=(
            proved("selection", "losses: a choice by half", "threshold: norms of stacked rows"),
            searched(
                "losses choose",
                "sequences with targets",
                "losses choose, absolute",
                "losses choose, weighted",
            ),
            check(
                "the teacher's choice by losses against every subset",
                "implementation",
                "teacher_checks:hard_choice",
                score="loss",
            ),
        ),
        expected=record("verified"),
        found="For sequences of one length; of sums over outputs, not of means over other numbers.",
        requires=("taught-choice",),
        repairs="losses-as-scores",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="padded-means-as-scores",
        number="Appendix C.1",
        kind="sentence",
        locus="Appendix C.1, paragraph on the setting: a loss for each sample",
        statement="The scores of the published code for language models put samples in the order "
        "of their losses.",
        encoded="The code divides the sum of a sample's token losses by the length that its batch "
        "is padded to. Of two samples, the one with the larger mean over its own tokens has no "
        "smaller score.",
        checks=refuted(
            "padded scores order as means",
            "padded token losses",
            "scores over tokens order as means",
        ),
        expected=record("refuted"),
        found="The score depends on what else is in the batch, and within a batch it goes by the "
        "sum, so that long answers come first.",
        counterexample=case(_LAWS + "padded_scores_order", tokens=[[2, 2], [1]], padded=[5, 1]),
    ),
    Claim(
        key="token-means-as-scores",
        number="Appendix C.1",
        kind="repair",
        locus="Appendix C.1, paragraph on the setting: a loss for each sample",
        statement="Means over a sample's own tokens, as by `ntteach.teaching.token_mean`, depend "
        "on no padding and put samples in the order of their mean losses.",
        encoded="Against lists, with anything in the padding; the order is searched.",
        checks=(
            check("token_mean against lists", "loops", "teacher_checks:mean_over_tokens"),
            searched(
                "scores over tokens order as means",
                "padded token losses",
                "padded scores order as means",
            ),
        ),
        expected=record("supported"),
        found="A sum is the other choice; then long samples come first on purpose.",
        repairs="padded-means-as-scores",
    ),
    Claim(
        key="temperature-on-noise",
        number="Section 5",
        kind="sentence",
        locus=_SOFT,
        statement="A low temperature makes soft selection hard, where it divides the score with "
        "its noise.",
        encoded="The published code takes the largest of (log p + Gumbel noise) / temperature. "
        "Where any two scores differ by more than the temperature times the noise does, the "
        "highest are chosen.",
        checks=refuted(
            "cold choice is hard, on noise too", "perturbed scores", "cold choice is hard"
        ),
        expected=record("refuted"),
        found="Dividing all keys by one number changes none of their order, at any temperature.",
        counterexample=case(
            _LAWS + "cold_choice_is_hard_on_noise_too",
            scores=[1, 0],
            noise=[0, 2],
            temperature="1/100",
            size=1,
        ),
    ),
    Claim(
        key="temperature-on-score",
        number="Section 5",
        kind="repair",
        locus=_SOFT,
        statement="A temperature on score and noise changes no choice. On the score alone, as in "
        "`ntteach.teaching`, it makes the choice hard as it falls: the highest are chosen where "
        "scores differ by more than the temperature times the noise does.",
        encoded="Differences of two keys, for all scores, noise and temperatures above zero: one "
        "is divided by the temperature, the other has the sign of the difference of the scores "
        "less the temperature times that of the noise. Each is searched, the other its mutant.",
        checks=(
            proved("selection", "temperature: on score", "temperature: on the score"),
            searched(
                "temperature changes nothing",
                "perturbed scores",
                "temperature changes nothing, on the score",
            ),
            searched(
                "cold choice is hard", "perturbed scores", "cold choice is hard, on noise too"
            ),
            check("frequencies of single draws", "sample", "teacher_checks:soft_draws"),
        ),
        expected=record("verified"),
        found="A single draw takes a sample in proportion to score^(1/T).",
        repairs="temperature-on-noise",
        derivation="derivations/selection.py",
    ),
)
