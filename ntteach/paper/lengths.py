"""Section 4.1: the gradient and the length of the sequence; footnote 5."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, closed_form, proved, refuted, searched

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_LAST = "Section 4.1, last sentences"
_FOOTNOTE = "Section 4.1, footnote 5"

CLAIMS = (
    Claim(
        key="gradient-shape",
        number="Section 4.1",
        kind="sentence",
        locus=_LAST,
        statement="The gradient depends on the feature dimension and not on the length of the "
        "sequence; first reading: in its shape.",
        encoded="The gradient averaged over the elements is one number for each entry of the "
        "weights, for every L.",
        checks=(
            check(
                "no element index is free in the averaged gradient",
                "symbolic",
                "identities:bound_by_sums",
                derivation="length_scaling",
                names=("averaged gradient",),
            ),
            check("shapes for L = 1 to 16", "sample", "blocks:shapes"),
        ),
        expected=record("verified"),
        found="True of the averaged gradient; the gradient of Eqs. 10-12 has L rows.",
        requires=("gradient-blocks",),
        derivation="derivations/length_scaling.py",
    ),
    Claim(
        key="repetition-invariance",
        number="Section 4.1",
        kind="sentence",
        locus=_LAST,
        statement="The gradient stays unchanged if the length is scaled; second reading: by "
        "repeating the sequence.",
        encoded="For every sequence, every loss gradient that repeats with it, and r copies, "
        "without a mask: the averaged gradient is the same in every block. In cross-attention the "
        "context may be repeated as well, or alone.",
        checks=(
            proved("length_scaling", "sequence repeated", "averaged gradient"),
            proved("length_scaling", "context repeated", "sequence and context repeated"),
            searched(
                "repetition",
                "repeats",
                "sum stays",
                "repetition, W_Q spoiled",
                "repetition, W_K spoiled",
                "repetition, W_V spoiled",
            ),
        ),
        expected=record("verified"),
        found="Every copy of a row has the gradient that the row had.",
        requires=("self-attention",),
        derivation="derivations/length_scaling.py",
    ),
    Claim(
        key="causal-repetition-invariance",
        number="Section 4.1",
        kind="sentence",
        locus=_LAST,
        statement="Under a causal mask too, repeating the sequence leaves the averaged gradient.",
        encoded="As above, with the causal mask of the longer sequence; copies follow one another.",
        checks=refuted("repetition", "causal repeats", "query rows are multiples"),
        expected=record("refuted"),
        found="Under a causal mask the rows of the second copy see more than those of the first.",
        counterexample=case(
            "length_laws:replay_repetition",
            S=[[0], [1]],
            **_ONES,
            mask="causal",
            repeats=2,
            output_grad=[[1], [1]],
        ),
    ),
    Claim(
        key="repeated-mask-invariance",
        number="Section 4.1",
        kind="repair",
        locus=_LAST,
        statement="Repeating the sequence leaves the averaged gradient if the mask repeats too.",
        encoded="Elements j, k of any two copies: the pair takes part where it does in one copy. "
        "For every mask weight m_jk; the search takes the causal mask of one copy.",
        checks=(
            proved("length_scaling", "sequence and mask repeated"),
            searched(
                "repetition, mask repeated",
                "causal repeats",
                "repetition",
                "repetition, mask repeated, W_Q spoiled",
                "repetition, mask repeated, W_K spoiled",
                "repetition, mask repeated, W_V spoiled",
            ),
        ),
        expected=record("verified"),
        found="Again it is the place of the mask that matters, not masking.",
        requires=("masked-self-attention",),
        repairs="causal-repetition-invariance",
        derivation="derivations/length_scaling.py",
    ),
    Claim(
        key="length-invariance",
        number="Section 4.1",
        kind="sentence",
        locus=_LAST,
        statement="The gradient stays unchanged if the length is scaled; third reading: the "
        "averaged gradient of a longer sequence is that of the shorter one.",
        encoded="For every sequence and every element appended to it, with loss gradients of one.",
        checks=refuted("longer sequence", "more", "query rows are multiples"),
        expected=record("refuted"),
        found="One more element changes every block, unless it repeats what was there.",
        counterexample=case("length_laws:replay_longer_sequence", S=[[1]], **_ONES, more=[[2]]),
    ),
    Claim(
        key="gradient-decay",
        number="Section 4.1",
        kind="repair",
        locus=_LAST,
        statement="For independent elements, and loss gradients of mean zero that do not depend "
        "on them, the averaged gradient falls with the square root of the length.",
        encoded="A fitted slope of -1/2 of log norm over log L. A trend: no limit is proved.",
        checks=(
            check("slope of the norm over the length", "trend", "contrasts:decay_with_length"),
        ),
        expected=record("supported"),
        found="Averaging over the elements averages the gradient out, not the length.",
        requires=("parameter-gradient-descent",),
        repairs="length-invariance",
    ),
    Claim(
        key="padding-unmasked",
        number="Section 4.1",
        kind="sentence",
        locus=_FOOTNOTE,
        statement="Padding sequences to one length changes nothing for the real elements, also if "
        "no mask is set.",
        encoded="Zero elements appended as padding, without a mask, leave the gradients of the "
        "real elements' outputs. The footnote pads or truncates and names no mask; this is its "
        "strong reading.",
        checks=refuted("padding, unmasked", "padding", "padding, masked"),
        expected=record("refuted"),
        found="A zero element still takes its share of the attention.",
        counterexample=case("length_laws:replay_unmasked_padding", S=[[1]], **_ONES, padding=1),
    ),
    Claim(
        key="padding-masked",
        number="Section 4.1",
        kind="repair",
        locus=_FOOTNOTE,
        statement="Padding that nobody attends to leaves outputs and gradients of real elements.",
        encoded="For every sequence and any number of masked elements; `ntteach.padding_mask`.",
        checks=(
            proved("padding", ""),
            check("padding_mask against sequences alone", "loops", "sequences:padding_mask"),
            searched(
                "padding, masked",
                "padding",
                "padding, unmasked",
                "padding, masked, W_Q spoiled",
                "padding, masked, W_K spoiled",
                "padding, masked, W_V spoiled",
            ),
        ),
        expected=record("verified"),
        found="Padding needs its mask, and outputs at padded places have to be left out of means.",
        requires=("masked-self-attention",),
        repairs="padding-unmasked",
        derivation="derivations/padding.py",
    ),
    Claim(
        key="unequal-length-gradients",
        number="Section 4.1",
        kind="sentence",
        locus=_FOOTNOTE,
        statement="Results for sequences of different length follow directly; first reading: each "
        "sequence has its gradients by Eqs. 10-12, at its own length.",
        encoded="Eqs. 10-12 hold for every L; nothing in them refers to other sequences.",
        checks=(
            proved("value_gradient", "(10) any v, softmax form", block="W_V"),
            proved("query_gradient", "(11) covariance form, any v", block="W_Q"),
            proved("key_gradient", "(12) covariance form, any v", block="W_K"),
            *(one for block in ("W_V", "W_Q", "W_K") for one in closed_form(block, "self")),
        ),
        expected=record("verified"),
        found="In this reading the footnote holds.",
        requires=("self-attention",),
        derivation="derivations/query_gradient.py",
    ),
    Claim(
        key="unequal-length-mean",
        number="Section 4.1",
        kind="sentence",
        locus=_FOOTNOTE,
        statement="Results for sequences of different length follow directly; second reading: so "
        "does the average of Eq. 6, without a choice.",
        encoded="Eq. 6's average has one reading: the mean over sequences of their means over "
        "elements is the mean over all elements.",
        checks=refuted("both means agree", "losses", "means lie between the extremes"),
        expected=record("refuted"),
        found="They agree for equal lengths only; a user has to choose "
        "(`ntteach.average_loss(per=...)`).",
        counterexample=case("length_laws:replay_both_means_agree", losses=[[1], [0, 0]]),
    ),
    Claim(
        key="equal-length-mean",
        number="Section 4.1",
        kind="repair",
        locus=_FOOTNOTE,
        statement="For sequences of one length, the mean over sequences of their means is the mean "
        "over all elements.",
        encoded="For any number of sequences of any one length.",
        checks=(
            proved("training", "equal lengths"),
            check("average_loss of both kinds against loops", "loops", "sequences:both_averages"),
            searched("both means agree, equal lengths", "equal losses", "first mean is all"),
        ),
        expected=record("verified"),
        found="Eq. 6 needs no choice where lengths are equal, as the footnote assumes.",
        requires=("parameter-gradient-descent",),
        repairs="unequal-length-mean",
        derivation="derivations/training.py",
    ),
)
