"""Whether torch can compute on a device, asked before anything else is done."""

from __future__ import annotations

from ntteach.report.output import UserError


def require(device: str) -> None:
    """Raise a `UserError` that lists the devices there are, unless this is one of them."""
    if device == "cpu":
        return
    import torch

    try:
        torch.zeros(1, device=device).item()
    except Exception as error:
        have = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        have += ["mps"] if torch.backends.mps.is_available() else []
        raise UserError(
            f"torch {torch.__version__} has no device {device!r} here; it has {', '.join(have)}"
        ) from error
