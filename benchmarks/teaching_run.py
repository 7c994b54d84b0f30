"""One run of one arm, and the file that keeps every run that was made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measure import now  # sets the number of threads before torch is imported
from teaching_arms import ARMS, FORWARD, Arm
from teaching_tasks import VERSION, Task
from torch import Tensor

WARMUP = 0.1


def rate_at(progress: float, warmup: float = WARMUP) -> float:
    """The learning rate relative to its peak: a line up, then a line down to 0 at 1.

    >>> [rate_at(p) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return round(min(progress / warmup, (1 - progress) / (1 - warmup)), 12)


def run(task: Task, arm: Arm | str, seed: int, rate: float, device: str = "cpu") -> dict[str, Any]:
    """Train once, with data, split, initial weights and order that follow from the seed.

    Args:
        task: what to learn.
        arm: one of `ARMS`, or its name.
        rate: the peak of the learning rate.
        device: of the learner; choosing is done on the CPU.

    Returns:
        metric, cost in full runs, samples trained, forward-only samples, steps, seconds of
        training with all choosing (the test is not in it).
    """
    arm = ARMS[arm] if isinstance(arm, str) else arm
    data = task.data(seed).to(device)
    x, y = data.x, data.y
    model = task.model(seed).to(device)
    start = now(device)
    rule = arm.make(len(x), task.epochs, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    trained = scored = steps = 0

    def score(ids: Tensor) -> Tensor:
        nonlocal scored
        scored += len(ids)
        with torch.no_grad():
            parts = [task.losses(model, x[part], y[part]) for part in ids.to(device).split(300)]
        return torch.cat(parts).cpu()

    total = None
    if rule.planned is not None:
        total = sum(-(-n // task.batch) for n in rule.planned)
    for epoch in range(rule.epochs):
        batches = rule.epoch(epoch, score).split(task.batch)
        for number, ids in enumerate(batches):
            done = steps / total if total else (epoch + number / len(batches)) / rule.epochs
            ahead = 1 / total if total else 1 / len(batches) / rule.epochs
            # read in the middle of the step: the first and the last do move
            optimizer.param_groups[0]["lr"] = rate * rate_at(done + ahead / 2)
            ids = rule.batch(ids, number, done, score)
            there = ids.to(device)
            rule.loss(ids, task.losses(model, x[there], y[there])).backward()
            optimizer.step()
            optimizer.zero_grad()
            trained, steps = trained + len(ids), steps + 1
    if total is not None and steps != total:
        raise RuntimeError(f"{steps} steps were taken, {total} were planned")
    seconds = now(device) - start
    with torch.no_grad():
        metric = task.test(model, data)
    full = task.epochs * len(x)
    return {
        "metric": round(metric, 5),
        "cost": round((trained + FORWARD * scored) / full, 5),
        "samples": trained,
        "scored": scored,
        "steps": steps,
        "seconds": round(seconds, 3),
    }


class Store:
    """Runs as lines of JSON; a run that is there is never made again.

    The key of a run is the task, the arm, the rate, the seed and the version of the code.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.path, self.device = path, device
        self.runs: dict[tuple[Any, ...], dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                found = json.loads(line)
                self.runs[self._key(**{k: found[k] for k in KEY})] = found

    def run(self, task: Task, name: str, seed: int, rate: float) -> dict[str, Any]:
        """The stored run, or a new one that is stored."""
        key = {"task": task.name, "arm": name, "rate": rate, "seed": seed}
        key["version"] = self.version(name)
        found = self.runs.get(self._key(**key))
        if found is None:
            found = key | run(task, name, seed, rate, self.device)
            line = json.dumps(found, separators=(",", ":")) + "\n"
            # one write at the end of the file: two processes may share it
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
            self.runs[self._key(**key)] = found
        return found

    def of(self, task: str, arm: str, rate: float | None = None) -> Iterator[dict[str, Any]]:
        """All runs of an arm on a task, of the present version."""
        for found in self.runs.values():
            same = (found["task"], found["arm"], found["version"]) == (task, arm, self.version(arm))
            if same and (rate is None or found["rate"] == rate):
                yield found

    def version(self, arm: str) -> str:
        """Of the tasks and of the arm; runs on another device are other runs."""
        place = "" if self.device == "cpu" else f"@{self.device}"
        return f"{VERSION}.{ARMS[arm].version}{place}"

    @staticmethod
    def _key(**key: Any) -> tuple[Any, ...]:
        return tuple(key[name] for name in KEY)


KEY = ("task", "arm", "rate", "seed", "version")
