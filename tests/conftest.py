"""What every test shares: shapes checked by beartype, hypothesis profiles, seeds, devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

try:
    from beartype import beartype
except ImportError:  # the shapes in the annotations stay comments then
    beartype = None


def shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Beartype for annotations that are shapes, and for no others.

    The library checks its arguments itself and promises errors with messages of its own, before
    which beartype would raise; types without a shape are pyright's to judge.
    """
    if beartype is None:
        return function
    function.__annotations__ = {
        name: hint if "jaxtyping." in repr(hint) else Any
        for name, hint in function.__annotations__.items()
    }
    return beartype(function)


if beartype is not None:
    # before the first import of ntteach: what is loaded already stays unchecked
    install_import_hook("ntteach", f"{__name__}.{shapes.__name__}")

import pytest  # noqa: E402
from torch import Tensor  # noqa: E402

from ntteach.paper.domains import AttentionCase, edge_cases, random_cases  # noqa: E402

torch.set_num_threads(1)

# The first example of a process pays for imports and for torch's warming up: no deadline.
_ALWAYS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("ci", derandomize=True, **_ALWAYS)
settings.register_profile("search", derandomize=False, print_blob=True, **_ALWAYS)
_PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "search")
settings.load_profile(_PROFILE)

DTYPES = [torch.float64, torch.float32]


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(20251)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(
                    not torch.cuda.is_available(), reason="this machine has no CUDA device"
                ),
            ],
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    """Each device that a law has to hold on."""
    return request.param


def relative_error(found: Tensor, expected: Tensor) -> float:
    """`||found - expected|| / ||expected||` in float64; 0 / 0 is 0, and NaN never passes."""
    assert found.shape == expected.shape, f"{tuple(found.shape)} for {tuple(expected.shape)}"
    found, expected = found.double().cpu(), expected.double().cpu()
    error, size = (found - expected).norm().item(), expected.norm().item()
    return 0.0 if error == 0 else error / size if size else float("inf")


def sdpa(
    params: Mapping[str, Tensor],
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Tensor | str | None = None,
    heads: int = 1,
) -> Tensor:
    """PyTorch's own attention, with the heads that `ntteach.attention` describes."""
    C = S if context is None else context
    Q, K, V = (
        (x @ params[name]).unflatten(-1, (heads, -1)).transpose(-2, -3)  # (..., heads, L, .)
        for x, name in ((S, "W_Q"), (C, "W_K"), (C, "W_V"))
    )
    if isinstance(mask, str):
        output = torch.nn.functional.scaled_dot_product_attention(Q, K, V, is_causal=True)
    else:
        output = torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=mask)
    output = output.transpose(-2, -3).flatten(-2)
    return output @ params["W_O"] if "W_O" in params else output


def every_case(
    form: str, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> list[AttentionCase]:
    """Random problems of a form and its edges: L = 1, d = 1, equal elements, logits of 1e4."""
    cases = random_cases(form, count=6, seed=1, device=device)
    return [case.to(dtype) for case in cases + edge_cases(form, seed=1, device=device)]
