"""Appendix A.4: what the attention neural tangent kernel is, entry by entry and in closed form."""

from ntteach.claims.model import Check, Claim, record
from ntteach.paper.declare import case, check, proved

_A4 = "Appendix A.4"
_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_BLOCKS = {"W_V": "value", "W_Q": "query", "W_K": "key"}


def _proved(beginning: str, form: str, *blocks: str) -> tuple[Check, ...]:
    """Every block of the kernel symbolically, each tied to its Jacobians contracted."""
    names = _BLOCKS | {"W_O": "output"}
    return tuple(
        proved("tangent_kernel", f"{beginning}: {names[W]}", block=f"kernel {W}", form=form)
        for W in (*_BLOCKS, *blocks)
    )


def _computed(form: str) -> tuple[Check, ...]:
    """The closed form, the other routes and the operator, against autograd and differences."""
    return (
        check(f"closed form against Jacobians: {form}", "autograd", "tangent:autograd", form=form),
        check(
            f"closed form against central differences: {form}",
            "finite-difference",
            "tangent:finite_difference",
            form=form,
        ),
        check(f"other ways to the kernel: {form}", "implementation", "tangent:routes", form=form),
        check(
            f"the operator on unit vectors: {form}",
            "implementation",
            "operators:products_with_units",
            form=form,
        ),
    )


CLAIMS = (
    Claim(
        key="antk-entry",
        number=_A4,
        kind="definition",
        locus="Appendix A.4, first paragraph; Eq. 15",
        statement="For two elements, the kernel is one number: the sum over all parameters of the "
        "products of both outputs' derivatives.",
        encoded="For v = 1 and sequences of any two lengths: a sum over every entry of every "
        "weight matrix. Derivatives by differences, one number at a time, against the library.",
        checks=(
            check(
                "free indices are those of two outputs",
                "symbolic",
                "tangent_entries:summed_over_parameters",
                derivation="tangent_kernel",
                names=("one head",),
            ),
            *_proved("one head", "self"),
            check("loops over parameters", "loops", "tangent_entries:figure"),
            *_computed("scalar"),
        ),
        expected=record("verified"),
        found="Well posed, also for sequences of different lengths.",
        requires=("self-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-computation-drawing",
        number="Figure 3",
        kind="figure",
        locus=_A4,
        statement="The drawing computes the kernel from derivatives of both outputs by the same "
        "parameters.",
        encoded="Derivatives of each output by each parameter, products for each parameter, one "
        "sum, written as loops. We had the sentence about the drawing, not the drawing.",
        checks=(check("the steps one after the other", "loops", "tangent_entries:figure"),),
        expected=record("supported"),
        found="These steps give the library's kernel.",
        requires=("antk-entry",),
    ),
    Claim(
        key="antk-matrix",
        number=_A4,
        kind="sentence",
        locus="Appendix A.4, last paragraph",
        statement="With a sequence given for both arguments, the kernel is a matrix with a row for "
        "each element of one and a column for each element of the other.",
        encoded="K(S, S') is L x L' for v = 1, whose entries are those of two elements; the kernel "
        "of two batches is made of these matrices. For v outputs it is L v x L' v.",
        checks=(
            check(
                "free indices are those of two outputs",
                "symbolic",
                "tangent_entries:summed_over_parameters",
                derivation="tangent_kernel",
                names=("one head",),
            ),
            check(
                "blocks of a batch, from two sequences each",
                "autograd",
                "tangent_entries:blocks_of_a_batch",
            ),
        ),
        expected=record("verified"),
        found="Holds. Lengths need not be equal, so nothing has to be padded for the kernel.",
        requires=("antk-entry",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-vector-valued",
        number=_A4,
        kind="sentence",
        locus="Appendix A.4, last paragraph",
        statement="The kernel fits the frame of vector-valued kernels: its values are matrices, "
        "and exchanging the arguments transposes them.",
        encoded="K(S', S) = K(S, S')^T for all lengths, widths and numbers of outputs. "
        "(Positivity is a claim of its own.)",
        checks=(
            proved("tangent_kernel", "one head: all parameters, exchanged", block="kernel"),
            check("transposed on random problems", "sample", "tangent_entries:transposed"),
        ),
        expected=record("verified"),
        found="Holds for the definition and for the closed form.",
        requires=("self-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-closed-form",
        number=_A4,
        kind="definition",
        locus="Appendix A.4; of our own",
        statement="In closed form the kernel is three products of inner products: of mean tokens, "
        "of tokens with key covariances, and of queries with token covariances.",
        encoded="With the attention A, g_jc = sum_k A_jk (V_kc - f_jc) K_k and h_jc the same with "
        "the token S_k for K_k: K = delta_cc' <(AS)_j, (A'S')_j'> + d_k^-1 <S_j, S'_j'> <g, g'> + "
        "d_k^-1 <Q_j, Q'_j'> <h, h'>, for all L, L', d, d_k, v. No Jacobian is formed.",
        checks=(*_proved("one head", "self"), *_computed("self")),
        expected=record("verified"),
        found="`ntteach.antk` computes it; each block is the contraction over one weight matrix.",
        requires=("self-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-masked",
        number=_A4,
        kind="definition",
        locus="Appendix A.4; of our own",
        statement="The closed form holds for masked attention, with a mask of its own for each "
        "sequence.",
        encoded="The attention that stands in the closed form is the masked one, for mask weights "
        "m_jk >= 0 and m'_jk >= 0, 1 and 0 for the causal mask; outputs masked everywhere have "
        "zero kernel (sampled).",
        checks=(
            *_proved("any mask", "masked"),
            *_computed("masked"),
            *_computed("causal"),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("masked-self-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-cross",
        number=_A4,
        kind="definition",
        locus="Appendix A.4; of our own",
        statement="The closed form holds for cross-attention, with a context of its own for each "
        "sequence.",
        encoded="Means and covariances are over the contexts C and C', of any lengths; in the "
        "query block the elements are those of S and S'.",
        checks=(*_proved("cross-attention", "cross"), *_computed("cross")),
        expected=record("verified"),
        found="Holds; the contexts' width need not be that of the sequences (sampled).",
        requires=("cross-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-multi-head",
        number=_A4,
        kind="definition",
        locus="Appendix A.4; of our own",
        statement="For heads side by side the closed form holds head by head, and outputs of "
        "different heads have kernel zero.",
        encoded="As for one head, with d_h = d_k / heads in the scale, for every number of heads; "
        "times delta_hh'.",
        checks=(*_proved("heads side by side", "multi-head"), *_computed("multi-head")),
        expected=record("verified"),
        found="Holds; with masks and contexts it has been sampled.",
        requires=("self-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="antk-mixed-heads",
        number=_A4,
        kind="definition",
        locus="Appendix A.4; of our own",
        statement="For heads that an output matrix mixes, the closed form has a fourth block, and "
        "covariances are summed with the columns of that matrix.",
        encoded="By W_O: delta_ee' <f_j, f'_j'>. By the others: covariances and means of each head "
        "summed over its columns c with W_O[h, c, e], and the heads added up. For all sizes.",
        checks=(*_proved("heads mixed", "projected", "W_O"), *_computed("projected")),
        expected=record("verified"),
        found="Holds; here outputs of all columns share parameters.",
        requires=("self-attention",),
        derivation="derivations/tangent_kernel.py",
    ),
    Claim(
        key="gradient-input-independent",
        number=_A4,
        kind="sentence",
        locus="Appendix A.4, last paragraph",
        statement="The derivative of the learner by its parameters depends on structure and "
        "parameters and not on the input sequences; first reading: its value is the same for all "
        "sequences.",
        encoded="For all parameters and any two sequences of one length, every block of the "
        "gradient is the same. The text's next sentence lets the derivative at a sequence depend "
        "on that sequence, which excludes this reading; it is kept since the words alone allow it, "
        "and so that what does depend on the sequence is shown.",
        checks=(check("the stored counterexample, replayed", "exact", "sentences:stored"),),
        expected=record("refuted"),
        found="Already the value block is the mean element, which is that of the sequence. The "
        "text's next sentence says so as well; what it means is the second reading, "
        "`gradient-map`, which holds.",
        counterexample=case(
            "evolution_laws:replay_gradient_is_input_free",
            S=[[0], [1]],
            other=[[1], [2]],
            **_ONES,
        ),
    ),
    Claim(
        key="gradient-map",
        number=_A4,
        kind="repair",
        locus="Appendix A.4, last paragraph",
        statement="The derivative as a map from sequences, with its argument left open, is fixed "
        "by structure and parameters: no other sequence and no target enters it.",
        encoded="Eqs. 10-12 hold the weights and the sequence that is put in, for all sizes; the "
        "kernel of two sequences in a batch is that of the two alone. This is the second reading "
        "of the sentence, and the one that the text's next sentence agrees with.",
        checks=(
            *(
                check(
                    f"what stands in the {name} gradient",
                    "symbolic",
                    "tangent_entries:own_sequence_only",
                    derivation=f"{name}_gradient",
                    names=(f"({number})",),
                )
                for name, number in (("value", 10), ("query", 11), ("key", 12))
            ),
            check(
                "blocks of a batch, from two sequences each",
                "autograd",
                "tangent_entries:blocks_of_a_batch",
            ),
        ),
        expected=record("verified"),
        found="What is fixed is the map, and with it the kernel as a function of two sequences; at "
        "a sequence, both depend on that sequence.",
        repairs="gradient-input-independent",
        requires=("self-attention",),
        derivation="derivations/value_gradient.py",
    ),
)
