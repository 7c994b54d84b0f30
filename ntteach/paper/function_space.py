"""Section 3 and Appendix A.2: kernels, their functions, functionals (Eqs. 1 and 22)."""

from ntteach.claims.model import Check, Claim, record
from ntteach.paper.declare import case, check, equations, proved, refuted, searched

_EQ1, _EQ22 = equations("1"), equations("22")
_SECTION3, _DERIVATION = "Section 3, first paragraphs", "derivations/function_space.py"
_DEFINITION2 = "Section 3, Definition 2"
_LAWS = "space_laws:"
_PROVED = (
    "linear",
    "polynomial",
    "gaussian",
    "signature",
    "combinations",
    "separable",
    "frozen ANTK",
)
_SAMPLED = ("laplace", "alignment")


def _kernels(*families: str) -> tuple[Check, ...]:
    """Each family of kernels against its slow reference, and the spectrum of all of them."""
    return (
        *(
            check(
                f"Gram matrices against loops over pairs: {family}",
                "loops",
                "space_kernels:against_reference",
                family=family,
            )
            for family in families
        ),
        check(
            "eigenvalues of Gram matrices", "sample", "space_kernels:semidefinite", names=families
        ),
    )


CLAIMS = (
    Claim(
        key="sequence-kernel-definite",
        number="Section 3",
        kind="sentence",
        locus=_SECTION3,
        statement="The sequence kernel is positive definite; first reading: strictly, so that "
        "different sequences have a regular Gram matrix.",
        encoded="For the truncated signature kernel, which is of the kind that the paper refers "
        "to, and sequences of two tokens or more in which no token stays in its place. The second "
        "reading, that no direction is negative, is `sequence-kernels`.",
        checks=refuted(
            "signature kernel is definite",
            "short sequences",
            "signature kernel is semi-definite",
        ),
        expected=record("refuted"),
        found="The kernel sees increments alone: (0, 1) and (1, 2) are one to it, at any depth. "
        "Nothing in the paper's use of its kernel asks for more than `sequence-kernels`.",
        counterexample=case(
            "space_kernel_laws:replay_signature_is_definite",
            sequences=[[[0], [1]], [[1], [2]]],
            depth=1,
        ),
    ),
    Claim(
        key="sequence-kernels",
        number="Section 3",
        kind="repair",
        locus=_SECTION3,
        statement="The kernel is symmetric and positive semi-definite; second reading.",
        encoded="Gram matrices have no negative direction, for any number of sequences. "
        "Symbolically: features give such kernels, sums and products of kernels, kernels weighed "
        "by a function and separable ones are kernels, a Gaussian kernel is a weighed exponential "
        "of inner products, and level two of a signature kernel is an inner product of features, "
        "as the other levels are. The kernels of this kind that `ntteach.rkhs` ships, frozen "
        "tangent kernels among them, are compared with slow references.",
        checks=(
            proved("function_space", "norm as a square", "kernels:"),
            *_kernels(*_PROVED),
            searched(
                "signature kernel is semi-definite",
                "short sequences",
                "signature kernel less a tenth is semi-definite",
            ),
        ),
        expected=record("verified"),
        found="Holds for each of them.",
        repairs="sequence-kernel-definite",
        derivation=_DERIVATION,
    ),
    Claim(
        key="sequence-kernels-sampled",
        number="Section 3",
        kind="repair",
        locus=_SECTION3,
        statement="Laplace kernels, and global-alignment kernels with a safe local kernel, are "
        "symmetric and positive semi-definite too.",
        encoded="The kernels of this kind that `ntteach.rkhs` ships: Gram matrices against slow "
        "references, and their eigenvalues. That they are kernels is known; here it is not proved.",
        checks=_kernels(*_SAMPLED),
        expected=record("supported"),
        found="They are, on all that was drawn. Global alignment with a Gaussian local kernel, "
        "which is often used, is indefinite: the 81 sequences of four tokens 0, 1 or 2 show it.",
        requires=("sequence-kernels",),
        repairs="sequence-kernel-definite",
    ),
    Claim(
        key="gaussian-kernel-definite",
        number="Section 3",
        kind="repair",
        locus=_SECTION3,
        statement="The Gaussian kernel of sequences of one length, written in one row, is strictly "
        "positive definite; of the means of their tokens it is not.",
        encoded="The Gram matrix of different sequences is regular; searched on small sets, whose "
        "kernel values are powers of 1/2, and on random ones.",
        checks=(
            searched(
                "Gaussian kernel is definite",
                "short sequences",
                "Gaussian kernel of means is definite",
            ),
            check("smallest eigenvalue on random sets", "sample", "space_kernels:definite"),
        ),
        expected=record("supported"),
        found="It is, on all that was drawn.",
        requires=("sequence-kernels",),
        repairs="sequence-kernel-definite",
    ),
    Claim(
        key="span-inner-product",
        number="Section 3",
        kind="sentence",
        locus=_SECTION3,
        statement="The double sum over coefficients is an inner product on the span of the "
        "kernel's sections.",
        encoded="It depends on the two functions and not on the lists of coefficients that write "
        "them, for any symmetric kernel: it is a sum over values of either one. It is not "
        "negative for a semi-definite kernel, and zero only for the function zero, by Cauchy and "
        "Schwarz. For any number of centres and features. That the closure is a space of functions "
        "is not looked at.",
        checks=(
            proved(
                "function_space", "inner product by values", "norm as a square", "evaluation is b"
            ),
            searched(
                "inner product is of functions",
                "functions of tokens",
                "inner product is of functions, degree two",
            ),
            check("inner products of the library", "sample", "space_functionals:inner_products"),
        ),
        expected=record("verified"),
        found="Holds, and semi-definite is enough: coefficients need not be unique.",
        requires=("sequence-kernels",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="reproducing-property",
        number="Eq. 1",
        kind="equation",
        locus=_SECTION3,
        statement="The inner product of a function with the kernel's section at a sequence is its "
        "value there.",
        encoded="< f, K_S > = f(S) for every f of the span and every S, for any number of centres; "
        "for a vector-valued kernel, output by output. Sampled for every shipped kernel.",
        checks=(
            proved("function_space", "(1)", covers=_EQ1),
            check("sections of the library", "sample", "space_functionals:reproducing", _EQ1),
        ),
        expected=record("verified"),
        found="Holds; a semi-definite kernel is enough.",
        requires=("span-inner-product",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="evaluation-functional",
        number="Definition 1",
        kind="definition",
        locus="Section 3, Definition 1",
        statement="Evaluation at a sequence is a bounded linear functional, which the section "
        "represents.",
        encoded="E_S is linear, and E_S(f)^2 <= K(S, S) |f|^2 by Lagrange's identity, whose other "
        "side is a sum of squares. The bound is the best: f = K_S attains it.",
        checks=(
            proved("function_space", "evaluation is", "bound attained"),
            searched(
                "evaluation is bounded",
                "functions of tokens",
                "evaluation is bounded, 99 in 100",
            ),
            check("values and norms of the library", "sample", "space_functionals:bounded"),
        ),
        expected=record("verified"),
        found="Well posed, with the norm K(S, S)^(1/2).",
        requires=("reproducing-property",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="frechet-derivative",
        number="Definition 2",
        kind="definition",
        locus=_DEFINITION2,
        statement="The derivative of a functional at f is the function whose inner product with "
        "any g is the first-order change along f + e g.",
        encoded="Read as it stands, direction by direction. At most one function has that "
        "property: the difference of two has the norm zero. For a functional with evaluations, "
        "squares of them, the norm and an inner product, it is found for any number of centres.",
        checks=(
            proved(
                "function_space", "Definition 2: slope", "Definition 2: remainder", "norm as a sq"
            ),
            check(
                "gradients of the library against differences",
                "finite-difference",
                "space_functionals:slopes",
                functionals=("norm", "loss"),
            ),
            check(
                "order of the remainder",
                "trend",
                "space_functionals:remainder_order",
                functional="norm",
            ),
        ),
        expected=record("verified"),
        found="Well posed. What it defines is called Gâteaux's derivative: see "
        "`display-is-frechet`.",
        requires=("span-inner-product",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="display-is-frechet",
        number="Definition 2",
        kind="sentence",
        locus=_DEFINITION2,
        statement="A functional that has the property displayed at f is Fréchet differentiable "
        "there: the remainder is small beside g, in whatever way g gets small.",
        encoded="F(a, b) = a^p b^q / (a^m + b^n) on the functions a s_1 + b s_2, zero at f = 0, "
        "with even m and n. Along every e g, F / e vanishes with e, which is the display with the "
        "gradient zero; then F / |g| vanishes along every curve.",
        checks=refuted("display is uniform", "powers", "uniform gives the display"),
        expected=record("refuted"),
        found="a^3 b / (a^4 + b^2) has slope zero in every direction, and on b = a^2 it is a / 2. "
        "It need not even be continuous: a^3 b / (a^6 + b^2) is 1/2 on all of b = a^3.",
        counterexample=case(_LAWS + "replay_display_is_uniform", powers=[3, 1, 4, 2]),
    ),
    Claim(
        key="frechet-uniform-remainder",
        number="Definition 2",
        kind="repair",
        locus=_DEFINITION2,
        statement="With a remainder that is small beside g uniformly in all directions the "
        "definition is Fréchet's, and the functionals that the paper differentiates meet it.",
        encoded="For the averaged squared loss of r sequences the remainder of a step g is between "
        "0 and |g|^2 times half the mean of K(S_i, S_i): it is half the mean of g(S_i)^2, and "
        "each value is bounded as in Definition 1. For other smooth losses a slope of two.",
        checks=(
            proved("function_space", "Definition 2: remainder", "evaluation is bounded"),
            searched(
                "remainder is uniform", "functions of tokens", "remainder is uniform, 99 in 100"
            ),
            searched("uniform gives the display", "powers", "display is uniform"),
            check(
                "order of the remainder of a loss",
                "trend",
                "space_functionals:remainder_order",
                functional="loss",
            ),
        ),
        expected=record("verified"),
        found="They do. The constant is the best: one sequence and g = K_S attain it.",
        requires=("frechet-derivative", "evaluation-functional"),
        repairs="display-is-frechet",
        derivation=_DERIVATION,
    ),
    Claim(
        key="functional-chain-rule",
        number="Lemma 5",
        kind="lemma",
        locus="Appendix A.2, Lemma 5",
        statement="The gradient of an outer function of a functional is the outer derivative times "
        "the functional's gradient.",
        encoded="d/dt G(F(f + t g)) = G'(F) < grad F, g >, at every t, for functionals of "
        "evaluations and of the norm, and powers, exponentials and reciprocals for G: symbolically "
        "for any number of centres. Other G, also of two functionals, are sampled.",
        checks=(
            proved("function_space", "(22)", covers=_EQ22),
            check(
                "compositions of the library against differences",
                "finite-difference",
                "space_functionals:slopes",
                _EQ22,
                functionals=("composed",),
            ),
            check(
                "order of the remainder",
                "trend",
                "space_functionals:remainder_order",
                functional="composed",
            ),
        ),
        expected=record("verified"),
        found="Holds: it is the chain rule of one variable.",
        requires=("frechet-derivative",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="gradient-of-evaluation",
        number="Lemma 6",
        kind="lemma",
        locus="Appendix A.2, Lemma 6",
        statement="The gradient of evaluation at a sequence is the kernel's section there.",
        encoded="The slope of f(S) along f + t g is < K_S, g >, at every f, for any number of "
        "centres; output by output for the shipped vector-valued kernels.",
        checks=(
            proved("function_space", "Lemma 6"),
            check(
                "evaluations of the library against differences",
                "finite-difference",
                "space_functionals:slopes",
                functionals=("evaluation",),
            ),
        ),
        expected=record("verified"),
        found="Holds: evaluation is linear, and the section represents it.",
        requires=("reproducing-property", "frechet-derivative"),
        derivation=_DERIVATION,
    ),
)
