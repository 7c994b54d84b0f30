"""Steps to a given error by teacher, over seeds; pools on which greed fails; an image by a network.

    python benchmarks/function_space.py            all of it, to benchmarks/results/
    python benchmarks/function_space.py --quick    few seeds and steps, printed only

Seeds are paired: for one seed every teacher has the same pool, targets, learner and eta. Nothing
here is timed: what a run costs is counted, with all that its teacher has to look at.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from function_space_problems import (
    F64,
    GOALS,
    HARD,
    SIZE,
    L,
    N,
    Problem,
    learnable,
)
from measure import machine
from torch import Tensor

import ntteach
from ntteach import rkhs
from ntteach.rkhs import Teacher

OUT = Path(__file__).parent / "results/function_space.json"

# How each teacher is made from a seed; None is the full batch. Beside it, per step: the outputs
# that have to be known, and the entries of the Gram matrix that scoring and the step read.
TEACHERS: dict[str, tuple[Callable[[int], Teacher] | None, str, str]] = {
    "random": (lambda seed: rkhs.random_teacher(seed), "m", "m N"),
    "greedy": (lambda seed: rkhs.greedy_teacher(), "N", "m N"),
    "loss gradient": (lambda seed: rkhs.gradient_teacher(), "N", "m N"),
    "functional gradient": (lambda seed: rkhs.functional_gradient_teacher(), "N", "N + m N"),
    "NTK": (lambda seed: rkhs.ntk_teacher(), "N", "N N + m N"),
    "steepest": (lambda seed: rkhs.steepest_teacher(), "N", "N N + m N"),
    "mixture": (lambda seed: rkhs.mixture_teacher(seed), "N", "N N + m N"),
    "full batch": (None, "N", "N N"),
}


def run(problem: Problem, teacher: Teacher | None, steps: int, *, to_the_end: bool) -> list[float]:
    """The error before each step and at the end; it stops at the goal, unless told otherwise."""
    pool = problem.pool()
    everything = torch.arange(len(pool))
    errors = [problem.error(pool)]
    while len(errors) <= steps and (to_the_end or errors[-1] > problem.goal):
        chosen = everything
        if teacher is not None:
            seen = pool.residuals if teacher.sees == "residual" else pool.loss_gradients
            chosen = teacher(seen, pool.gram, SIZE)
        pool.step(chosen)
        errors.append(problem.error(pool))
    return errors


def compare(
    make: Callable[[int], Problem], seeds: int, steps: int, *, to_the_end: bool
) -> dict[str, dict[str, list[Any]]]:
    """For each teacher and seed, steps to the goal (None: not reached) and the last error."""
    found: dict[str, dict[str, list[Any]]] = {name: {"steps": [], "last": []} for name in TEACHERS}
    for seed in range(seeds):
        problem = make(seed)
        order = list(TEACHERS)
        order = order[seed % len(order) :] + order[: seed % len(order)]
        for name in order:
            teacher = TEACHERS[name][0]
            errors = run(problem, teacher(seed) if teacher else None, steps, to_the_end=to_the_end)
            first = next((t for t, e in enumerate(errors) if e <= problem.goal), None)
            found[name]["steps"].append(first)
            found[name]["last"].append(round(errors[-1], 4))
    return found


# --- an image ------------------------------------------------------------------------------------

# Choice, share of pixels and interval between scorings. All get the same work.
ARMS: dict[str, dict[str, Any]] = {
    "random, 20 %": {"choose": "random"},
    "greedy, 20 %, at every step": {"choose": "greedy"},
    "greedy, 20 %, at every tenth": {"choose": "greedy", "interval": 10},
    "greedy, 20 to 100 %, at every tenth": {
        "choose": "greedy",
        "interval": 10,
        "share": (0.2, 1.0),
    },
    "NTK, 20 %, at every tenth": {"choose": "ntk", "interval": 10},
    "all pixels": {"choose": "full"},
}
STEP, SCORE = 3, {"greedy": 1, "ntk": 5, "random": 0, "full": 0}  # in forward passes


def picture(side: int) -> Tensor:
    """A grey photograph that scikit-learn ships, `(side, side)`, averaged down."""
    from sklearn.datasets import load_sample_image

    image = torch.from_numpy(load_sample_image("china.jpg").copy()).float() / 255
    size = 420 // side
    grey = image[: side * size, : side * size].mean(-1)
    return torch.nn.functional.avg_pool2d(grey[None, None], size)[0, 0]


def per_step(arm: dict[str, Any]) -> float:
    """The work of a step, in forward passes over the whole image."""
    share = arm.get("share", 1.0 if arm["choose"] == "full" else 0.2)
    mean = sum(share) / 2 if isinstance(share, tuple) else share
    return STEP * mean + SCORE[arm["choose"]] / arm.get("interval", 1)


def images(seeds: int, passes: int, side: int) -> dict[str, Any]:
    """PSNR at equal work and after equally many steps, for each arm and seed."""
    image = picture(side)
    fewest = int(passes / max(per_step(arm) for arm in ARMS.values()))
    arms: dict[str, dict[str, Any]] = {
        name: {"steps": int(passes / per_step(arm)), "psnr": [], "psnr_equal_steps": []}
        for name, arm in ARMS.items()
    }
    for seed in range(seeds):
        order = list(ARMS)
        for name in order[seed % len(order) :] + order[: seed % len(order)]:
            fit = rkhs.fit_image(
                image, **ARMS[name], steps=arms[name]["steps"], seed=10 * seed, every=fewest
            )
            arms[name]["psnr"].append(round(fit.psnr[-1].item(), 3))
            arms[name]["psnr_equal_steps"].append(round(fit.psnr[1].item(), 3))
    return {"side": side, "passes": passes, "equal_steps": fewest, "seeds": seeds, "arms": arms}


# --- all of it -----------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few seeds and steps")
    parser.add_argument("--out", type=Path, help=f"where to write; {OUT.name} unless quick")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quick = arguments.quick
    seeds, steps = (2, 40) if quick else (20, 400)
    rows = []
    for kernel, loss in GOALS:
        teachers = compare(
            lambda seed, k=kernel, l=loss: learnable(k, l, seed), seeds, steps, to_the_end=False
        )
        rows.append({"kernel": kernel, "loss": loss, "goal": GOALS[kernel, loss]})
        rows[-1]["teachers"] = teachers
        told(f"{kernel}, {loss}", teachers)
    hard = []
    for name, make in HARD.items():
        teachers = compare(make, seeds, steps, to_the_end=True)
        hard.append({"name": name, "goal": make(0).goal, "teachers": teachers})
        told(name, teachers)
    image = images(1 if quick else 6, 30 if quick else 300, 20 if quick else 60)
    for name, arm in image["arms"].items():
        print(f"image, {name}: {arm['psnr']}", flush=True)
    results = {
        "machine": machine("cpu") | {"dtype": str(F64).removeprefix("torch.")},
        "ntteach": ntteach.__version__,
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "seeds": seeds,
        "cap": steps,
        "pool": {"N": N, "L": L, "m": SIZE},
        "cost": {name: {"outputs": o, "entries": e} for name, (_, o, e) in TEACHERS.items()},
        "learnable": rows,
        "hard": hard,
        "image": image,
    }
    out = arguments.out or (None if quick else OUT)
    if out is not None:
        out.write_text(json.dumps(results, indent=None, separators=(",", ":")) + "\n")


def told(title: str, teachers: dict[str, dict[str, list[Any]]]) -> None:
    """A line for each teacher."""
    print(title, flush=True)
    for name, found in teachers.items():
        print(f"  {name}: steps {found['steps']}, last {sorted(found['last'])[-1]}", flush=True)


if __name__ == "__main__":
    main()
