"""`ntteach check --bound`: what it says of a model of one's own, where it writes, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from ntteach import AttentionLearner, cli
from ntteach.bounds import FORMS
from ntteach.losses import Loss, squared
from ntteach.variants import CannotCheck
from ntteach.variants.bound import check_bound

# What a user might have: a module and data of their own, right and wrong.
MINE = """
import sys

import torch
from ntteach import AttentionLearner, losses
from ntteach.rkhs import FunctionalLearner, gaussian

print("noise while it is imported")
S = torch.linspace(-1, 1, 24).reshape(2, 3, 4)


def run(**options):
    print("noise while it is called")
    learner = AttentionLearner(4, v=2, generator=torch.Generator().manual_seed(1))
    return {"model": learner, "sequences": S, "targets": S[..., :2].flip(0), "steps": 3, **options}


def drawn():
    return run(targets=torch.randn(2, 3, 2))


def small_tau():
    return run(tau=0.05, eta=0.05)


def classes():
    return run(targets=[[0, 1, 1], [1, 0, 1]], loss="cross_entropy", chosen=[0], normaliser="sum")


def weights():
    learner = run()["model"]
    params = {name: p.detach() for name, p in learner.named_parameters()}
    return run(model=params, mask="causal", loss=losses.huber(0.5))


SIMPLE = {"model": [[1.0, 0.0], [0.0, 1 / 9]], "targets": [-0.1, -1.0], "eta": 0.5}
KERNEL = {"model": gaussian(1.0), "sequences": S, "targets": [1.0, -1.0], "loss": "logistic"}
LEARNER = {
    "model": FunctionalLearner(gaussian(1.0), losses.logistic(), eta=0.125),
    "sequences": S,
    "targets": [1.0, -1.0],
}
VOID = {"model": [[1.0, 1.0], [1.0, 1.0]], "targets": [1.0, -1.0]}
BOUNDED = {**SIMPLE, "gamma": 0.5}


class Raises(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        raise RuntimeError("two\\nlines")


LISTED = {**SIMPLE, "targets": [torch.ones(1, requires_grad=True)] * 2}


def raising():
    return run(model=Raises())


def leaves():
    sys.exit("gone")


def needy(data):
    return run()


def shapes():
    return run(targets=torch.zeros(2, 3))


def nan():
    return run(targets=torch.full((2, 3, 2), torch.nan))


def typo():
    return run(target=1)


def lacking():
    return {"model": run()["model"]}


def eta():
    return run(eta=-1)


def tau():
    return run(tau=0)


def far():
    return run(eta=1e200)


def loss():
    return run(loss="squares")


def frozen():
    return run(model=run()["model"].requires_grad_(False))


def unsmooth():
    return run(loss="absolute")


ASKEW = {**SIMPLE, "model": [[1.0, 0.5], [0.0, 1.0]]}
INDEFINITE = {**SIMPLE, "model": [[1.0, 2.0], [2.0, 1.0]]}
ZERO = {"model": [[0.0, 0.0], [0.0, 0.0]], "targets": [1.0, 1.0]}
ALONE = {"model": gaussian(1.0), "targets": [1.0, -1.0]}
MODEL = run()["model"]
NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with a user's module, where the command is run."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(mine, capsys):
    """Exit status, standard output, standard error of `ntteach check --bound mine.py:NAME`."""

    def run(name: str, *options: str) -> Any:
        status = cli.main(["check", "--bound", f"mine.py:{name}", *options])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_every_form_is_told_with_its_sides_and_its_hypotheses(check):
    status, out, _ = check("SIMPLE", "--steps", "4")
    assert status == 0
    for form in FORMS[:-1]:
        assert f"\n{form}: " in out
    assert "paper: violated" in out
    assert "  left   -0.01513889    dL/dt" in out
    assert "  right  -0.075625 " in out
    assert "  met    eta <= 1/(2 tau gamma) = 0.5: 0.5" in out
    assert "The paper's form is violated at 4 of 4 steps." in out
    assert out.endswith("holds: identity, rate, mean, discrete, repaired\n")
    assert "noise" not in out


def test_a_violated_form_of_the_paper_does_not_change_the_exit_status(check):
    status, out, _ = check("SIMPLE", "--json")
    report = json.loads(out)
    forms = {form["form"]: form for form in report["forms"]}
    assert forms["paper"]["counts"]["violated"] == report["steps"]
    assert forms["paper"]["worst_ratio"] > 1
    assert not forms["paper"]["proved"]
    assert (status, report["verdict"]) == (0, "holds")


@pytest.mark.parametrize("name", ["run", "classes", "weights", "KERNEL", "VOID", "BOUNDED"])
def test_proved_forms_hold_on_models_kernels_and_matrices(check, name):
    status, out, err = check(name, "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["verdict"] == "holds"
    for form in report["forms"]:
        assert sum(form["counts"].values()) == report["steps"] == len(form["left"])
        assert form["counts"]["violated"] == 0 or form["form"] == "paper"
    assert ("subset" in [form["form"] for form in report["forms"]]) == (name == "classes")


def test_a_smoothness_that_is_too_small_fails_a_proved_form(check):
    status, out, _ = check("small_tau")
    assert status == 1
    assert "A proved form fails: tau is below the smoothness of the loss" in out
    assert out.endswith("fails: discrete\n")
    status, out, _ = check("small_tau", "--json")
    assert (status, json.loads(out)["verdict"]) == (1, "fails")


def test_a_gamma_below_the_kernel_is_an_unmet_hypothesis_and_no_error(check):
    status, out, _ = check("BOUNDED")
    assert status == 0
    assert "paper: not applicable, a hypothesis is unmet" in out
    assert "  UNMET  largest entry of K <= gamma = 0.5: 1" in out


def test_what_promises_nothing_is_told_as_void(check):
    _, out, _ = check("VOID")
    assert "rate: void, right promises no decrease" in out


def test_the_learning_rate_is_half_of_what_eq_19_allows_unless_it_is_given(check):
    assert "eta 0.5\n" in check("SIMPLE")[1]
    report = json.loads(check("VOID", "--json")[1])  # gamma = tau = 1
    assert report["eta"] == 0.25
    assert "eta 0.25, half of what Eq. 19 allows at the start" in check("VOID")[1]
    report = json.loads(check("KERNEL", "--json")[1])  # gamma = 1, tau = 1/4
    assert report["eta"] == 1


def test_a_learner_brings_its_loss_and_its_learning_rate(check):
    report = json.loads(check("LEARNER", "--json")[1])
    assert (report["loss"], report["tau"], report["eta"]) == ("logistic", 0.25, 0.125)
    assert "eta 0.125\n" in check("LEARNER")[1]


def test_steps_of_the_command_line_replace_those_of_the_module(check):
    assert json.loads(check("run", "--json")[1])["steps"] == 3
    assert json.loads(check("run", "--json", "--steps", "2")[1])["steps"] == 2
    assert json.loads(check("SIMPLE", "--json")[1])["steps"] == 10


def test_a_seed_draws_the_same_data_each_time(check):
    first, again, other = (
        json.loads(check("drawn", "--json", "--seed", seed)[1])["losses"] for seed in "778"
    )
    assert first == again != other


def test_the_json_is_the_whole_of_standard_output_and_has_no_infinity(check):
    _, out, err = check("VOID", "--json")
    report = json.loads(out, parse_constant=lambda word: pytest.fail(word))
    mean = next(form for form in report["forms"] if form["form"] == "mean")
    # 1 lies in the range of the matrix of ones
    assert mean["start"]["constants"]["h = 1^T K^+ 1"] == pytest.approx(1)
    assert "noise" in err
    assert set(report) == {
        "target",
        "model",
        "outputs",
        "loss",
        "eta",
        "tau",
        "normaliser",
        "moves",
        "steps",
        "losses",
        "changes",
        "forms",
        "verdict",
    }


def test_a_plot_is_written_beside_the_report(check, mine):
    status, out, _ = check("SIMPLE", "--plot", "sides.png", "--steps", "2")
    assert status == 0
    assert out.startswith("mine.py:SIMPLE\n")
    assert (mine / "sides.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in mine.iterdir()) == ["mine.py", "sides.png"]


BAD = {
    "nothing": "mine.py has no 'nothing'",
    "needy": "needs arguments",
    "leaves": "calling mine.py:leaves() raised SystemExit: gone",
    "MODEL": "gives a AttentionLearner, expected a mapping with model, sequences and targets",
    "NUMBER": "gives a int, expected a mapping",
    "lacking": "gives no targets",
    "typo": "gives 'target', which nothing asks for; did you mean targets?",
    "shapes": "targets have the shape of the outputs, (2, 3, 2), got (2, 3)",
    "nan": "the loss is nan after 0 steps: at the start",
    "far": "the run has diverged",
    "eta": "eta is above 0 and finite, got -1",
    "tau": "tau is above 0, got 0",
    "loss": "loss is one of absolute",
    "unsmooth": "the loss is not smooth, so that no eta follows from it: give eta",
    "raising": "RuntimeError: two lines",
    "frozen": "no parameter",
    "ASKEW": "kernel is symmetric",
    "INDEFINITE": "positive semi-definite, got smallest eigenvalue -1 ",
    "ZERO": "the kernel is zero",
    "LISTED": "requires grad",
    "ALONE": "give the sequences=",
}


@pytest.mark.parametrize("name", BAD)
def test_input_that_cannot_be_used_is_one_line_and_no_file(check, mine, name):
    status, out, err = check(name, "--plot", "sides.png")
    lines = [line for line in err.splitlines() if not line.startswith("noise")]
    assert (status, out) == (2, "")
    assert len(lines) == 1
    assert lines[0].startswith("ntteach: ")
    assert BAD[name] in lines[0]
    assert "Traceback" not in err
    assert [p.name for p in mine.iterdir() if "sides" in p.name] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "sides.jpeg"], "a plot is written as .png, .pdf, .svg"),
        (["--plot", "no/sides.png"], "there is no folder"),
        (["--steps", "0"], "expected a whole number of at least 1, got '0'"),
        (["--causal"], "--causal is for a check of laws"),
        (["--shape", "1,2,3"], "--shape is for a check of laws"),
        (["--laws", "causality"], "--laws is for a check of laws"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(check, options, message):
    status, out, err = check("SIMPLE", *options)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", [["--plot", "a.png"], ["--steps", "3"]])
def test_options_of_a_bound_need_the_bound(mine, capsys, option):
    assert cli.main(["check", "mine.py:MODEL", *option]) == 2
    assert f"{option[0]} is for a check of a bound: --bound" in capsys.readouterr().err
    assert not (mine / "a.png").exists()


def test_a_plain_check_goes_on_as_before(mine, capsys):
    assert cli.main(["check", "mine.py:MODEL"]) == 0
    assert "holds: gradient, closed-form" in capsys.readouterr().out


def test_it_works_from_a_shell_in_a_folder_of_its_own(mine):
    path = str(Path(cli.__file__).parent.parent)
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ntteach", "check", "--bound", "mine:SIMPLE"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == "noise while it is imported\nnoise while it is called\n"


# from Python


def test_the_same_is_had_from_python():
    made = torch.Generator().manual_seed(0)
    S = torch.randn(2, 3, 2, generator=made)
    given = {"model": AttentionLearner(2, generator=made), "sequences": S, "targets": S[..., :1]}
    report = check_bound(lambda: given, steps=2, name="mine")
    assert report.holds
    assert report.failed == ()
    assert report.trace.moves == "parameters"
    assert report.text().startswith("mine\n  AttentionLearner, outputs (2, 3, 1)\n")
    with pytest.raises(CannotCheck, match="mine gives no model and no targets"):
        check_bound({}, name="mine")


class Scaled(torch.autograd.Function):
    """x, with another gradient than its own."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return ctx.factor * grad, None


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_gradient_that_is_not_that_of_the_outputs_fails_the_identity(factor):
    """Whether it makes the loss seem to fall faster or slower."""
    right = squared()
    wrong = Loss(
        "wrong",
        1.0,
        1.0,
        True,
        right.targets,
        lambda f, y: right.formula(cast(torch.Tensor, Scaled.apply(f, factor)), y),
        right.slope,
    )
    report = check_bound({"model": [[1.0]], "targets": [1.0], "loss": wrong, "eta": 0.1})
    assert "identity" in report.failed
    assert not report.holds
