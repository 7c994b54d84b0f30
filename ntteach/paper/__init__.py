"""The paper, one file per statement, in the paper's order; loads no torch until a check runs."""

from __future__ import annotations

from collections.abc import Iterable

from ntteach.claims import Registry, Run, Setting, run
from ntteach.claims.runner import Progress
from ntteach.paper import (
    attention,
    function_space,
    functional_evolution,
    gradient_blocks,
    greedy_choice,
    importance,
    infinite_width,
    kernel_definiteness,
    kernel_limit,
    kernel_limit_proof,
    kernel_symmetries,
    key_gradient,
    lengths,
    loss_constants,
    machine_teaching,
    order,
    output_evolution,
    parameter_update,
    query_gradient,
    reported_choices,
    reported_costs,
    reported_gains,
    reported_times,
    rows,
    sufficient_reduction,
    sufficient_reduction_proof,
    sufficient_reduction_repairs,
    tangent_kernel,
    taught_choice,
    teaching_algorithm,
    value_gradient,
    variants,
)

PAPER = {"id": "arXiv:2602.20461", "title": "Nonparametric Teaching of Attention Learners"}

registry = Registry(
    claim
    for module in (
        function_space,  # Section 3 and Appendix A.2: Eqs. 1, 22
        attention,  # Eq. 2, Figure 1
        machine_teaching,  # Eqs. 3-5
        parameter_update,  # Section 4.1: Eqs. 6, 7
        gradient_blocks,  # Eqs. 8, 9, 24
        value_gradient,  # Eqs. 10, 25-28
        query_gradient,  # Eqs. 11, 29-43
        key_gradient,  # Eqs. 12, 44-55
        order,  # the paragraphs after Eq. 12
        importance,
        rows,
        lengths,
        variants,  # Appendix A.3: Eq. 23, Figure 2, other attention learners
        output_evolution,  # Section 4.2 and Appendix A.4: Eqs. 13-15, 56-58
        tangent_kernel,  # Appendix A.4, Figure 3
        kernel_definiteness,  # Section 4.2 and Appendix A.4, after Eqs. 15 and 58
        kernel_symmetries,
        infinite_width,
        functional_evolution,  # Section 4.2: Eqs. 16, 17
        kernel_limit,  # Theorem 3: Eq. 18
        kernel_limit_proof,  # Appendix B.1: Eqs. 59-63
        sufficient_reduction,  # Proposition 4: Eq. 19
        sufficient_reduction_proof,  # Appendix B.2: Eqs. 64-74
        sufficient_reduction_repairs,
        loss_constants,  # Proposition 4 and Section 4.3: what they ask of the loss
        greedy_choice,  # Section 4.3: Eqs. 20, 21
        teaching_algorithm,  # Appendix A.5: Algorithm 1
        taught_choice,  # Eq. 21 and Algorithm 1 in practice
        reported_times,  # the abstract, Sections 5 and 6, Appendices C and D: Tables 1-3, 7, 8
        reported_gains,
        reported_choices,
        reported_costs,
    )
    for claim in module.CLAIMS
)


def verify(
    keys: Iterable[str] | None = None,
    *,
    profile: str = "quick",
    seed: int = 0,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Run the checks of the named claims, and of all they rest on, and compute their verdicts.

    Args:
        keys: which claims, see `registry`; all if None.
        profile: "quick" or "full".
        seed: of every random draw.
        device: where numerical checks run.
        jobs: worker processes; 1 runs everything in this process.
        progress: called as `progress(done, total, name)` after each check.

    Raises:
        UnknownClaim: a key that is not in the registry.
        ValueError: an unknown profile, or jobs below 1.
    """
    return run(registry, keys, Setting(profile, seed, device), jobs=jobs, progress=progress)
