"""A training run that can be killed at any moment and started again: `python FILE FOLDER RULE`.

In its folder: "run.pt", the last whole checkpoint, and "steps.jsonl", a line for each step.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from ntteach.teaching import Teacher, incremental, indexed

N, BATCH = 60, 7
RULES: dict[str, dict[str, Any]] = {
    "auto": {"ratio": 0.5},
    "soft": {"ratio": incremental(0.3, 0.9), "every": 2, "reweight": True, "final_full": 1},
    "hard": {"ratio": 0.5, "floor": 0.3, "cap": 0.9},
}


def teacher_of(rule: str, seed: int = 0) -> Teacher:
    return Teacher(N, epochs=6, select=rule, seed=seed, **RULES[rule])


def go(folder: Path, rule: str, passed: Callable[[], None] = lambda: None) -> nn.Module:
    """Train to the end, from the last checkpoint if there is one.

    Args:
        folder: where the checkpoint is.
        rule: of the teacher.
        passed: called at many places of each step, for whoever wants to end the process there.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 5, generator=generator)
    y = (x @ torch.randn(5, 3, generator=generator)).argmax(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    teacher = teacher_of(rule)
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimizer, 1.0, 0.0, total_iters=teacher.total_steps(BATCH)
    )
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    parts["teacher"] = teacher
    if (folder / "run.pt").exists():
        saved = torch.load(folder / "run.pt", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    loader = DataLoader(indexed(TensorDataset(x, y)), batch_size=BATCH, sampler=teacher.sampler)
    for epoch in range(teacher.epoch, teacher.epochs):
        passed()
        teacher.set_epoch(epoch)
        passed()
        for ids, inputs, labels in loader:
            passed()
            losses = F.cross_entropy(model(inputs), labels, reduction="none")
            teacher.update(ids, losses).backward()
            passed()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            passed()
            state = {name: part.state_dict() for name, part in parts.items()}
            with open(folder / "run.part", "wb") as file:
                torch.save(state, file)
                passed()
            os.replace(folder / "run.part", folder / "run.pt")
            passed()
            # after the checkpoint: a step that is in no checkpoint is taken again
            with open(folder / "steps.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps([epoch, ids.tolist()]) + "\n")
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    go(Path(sys.argv[1]), sys.argv[2])
