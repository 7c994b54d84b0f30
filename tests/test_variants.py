"""`ntteach check`: right modules pass, each planted mistake is caught by its law."""

import json
from argparse import Namespace
from typing import Any

import pytest
import torch
import variants_zoo as zoo

from ntteach.variants import CannotCheck, check, command
from ntteach.variants.numerics import margin, noise, relative, slope
from ntteach.variants.smallest import narrowed, smallest

LAWS = ["gradient", "closed-form", "equivariance", "repetition", "causality"]
BIDIRECTIONAL = ["equivariance", "repetition"]


def run(capsys, target, **options) -> Any:
    """Exit status, standard output, standard error."""
    defaults = {"shape": None, "causal": False, "laws": None, "json": False, "seed": 0}
    status = command(Namespace(target=target, **{**defaults, **options}))
    return status, *capsys.readouterr()


def case_of(report, law) -> Any:
    """The smallest failing case of a law."""
    return report.law(law).smallest


# right modules


@pytest.mark.parametrize(
    "name",
    [
        "multihead",
        "multihead_batch_first",
        "learner",
        "heads_and_output",
        "plain",
        "make_plain",
        "query_key_value",
        "INSTANCE",
        "BatchOnly",
        "WithReLU",
        "SinglePrecisionInside",
        "OnlyFloat32",
        "StartsAtZero",
    ],
)
def test_a_right_bidirectional_module_passes_and_breaks_causality(name):
    report = check(getattr(zoo, name), laws=BIDIRECTIONAL)
    assert report.holds, report.text()
    assert all(report.law(law).decides and report.law(law).holds for law in BIDIRECTIONAL)
    if name != "StartsAtZero":  # the constant 0 obeys everything
        assert report.law("causality").word == "does not hold (not claimed)"
        assert report.law("causality").smallest is not None
        assert not check(getattr(zoo, name), causal=True).holds


@pytest.mark.parametrize("name", ["CausalSDPA", "causal_learner", "causal_mean", "NoInit"])
def test_a_right_causal_module_passes_and_breaks_the_laws_of_the_others(name):
    report = check(getattr(zoo, name), causal=True)
    assert report.holds, report.text()
    assert report.law("causality").decides
    for law in BIDIRECTIONAL:
        assert report.law(law).word == "does not hold (not claimed)"
        assert report.law(law).smallest is not None
    assert check(getattr(zoo, name)).holds
    assert check(getattr(zoo, name), laws=BIDIRECTIONAL).failed == tuple(BIDIRECTIONAL)


@pytest.mark.parametrize("name", ["vit", "vit_sdpa", "bert"])
def test_a_hugging_face_layer_passes(name):
    pytest.importorskip("transformers")
    report = check(getattr(zoo, name), laws=BIDIRECTIONAL)
    assert report.holds, report.text()
    assert (report.dtype, report.called, report.shape) == (
        "float64",
        "m(S) with (1, L, d)",
        (3, 5, 8),
    )


@pytest.mark.parametrize("name", ["learner", "heads_and_output", "causal_learner", "Named"])
def test_parameters_named_as_in_eq_2_are_held_to_the_closed_form(name):
    law = check(getattr(zoo, name)).law("closed-form")
    assert law.decides
    assert law.holds
    assert law.cases >= 12


def test_bounds_leave_room_for_rounding_and_none_for_errors():
    for name in ("learner", "multihead", "WithReLU", "SinglePrecisionInside"):
        for seed in range(3):
            report = check(getattr(zoo, name), seed=seed, laws=BIDIRECTIONAL)
            assert report.holds
            assert all((law.margin or 0) < 0.5 for law in report.laws if law.holds)


# one planted mistake each

MISTAKES = {
    "WrongBackward": (["gradient"], {}),
    "DetachedKey": (["gradient"], {}),
    "StraightThrough": (["gradient"], {}),
    "ForgetsScale": (["closed-form"], {}),
    "QueryForKey": (["closed-form"], {}),
    "TransposedKey": (["closed-form"], {}),
    "ManyHeadsTaken": (["closed-form"], {}),
    "DetachedQuery": (["gradient", "closed-form"], {}),
    "LeaksByOne": (["causality"], {"causal": True}),
    "LeaksDetached": (["gradient", "causality"], {"causal": True}),
    "GradientFromTheFuture": (["gradient", "causality"], {"causal": True}),
    "ScaledByContent": (["repetition"], {"laws": BIDIRECTIONAL}),
    "scaled_function": (["repetition"], {"laws": BIDIRECTIONAL}),
    "Positions": (["equivariance", "repetition"], {"laws": BIDIRECTIONAL}),
}


@pytest.mark.parametrize(("name", "laws", "claims"), [(n, *m) for n, m in MISTAKES.items()])
def test_a_planted_mistake_is_caught_by_its_law_on_a_small_case(name, laws, claims):
    report = check(getattr(zoo, name), **claims)
    assert list(report.failed) == laws
    for law in laws:
        case = case_of(report, law)
        S = torch.tensor(case["S"])
        assert S.shape[0] <= 2
        assert S.abs().sum() <= 2
        assert case["text"]
        assert (report.law(law).margin or 0) > 1e3


def test_the_smallest_case_of_a_gradient_replays():
    """The printed numbers are those of the module at the printed place."""
    case = case_of(check(zoo.WrongBackward), "gradient")
    module = zoo.WrongBackward().double()
    S = torch.tensor(case["S"], dtype=torch.float64, requires_grad=True)
    x = S if case["parameter"] == "S" else module.get_parameter(case["parameter"])
    j, c = case["output"]
    (g,) = torch.autograd.grad(module(S)[j, c], x)
    index = tuple(case["index"])
    assert g[index].item() == pytest.approx(case["autograd"], rel=1e-12)
    h, f = 1e-6, []
    for t in (h, -h):
        with torch.no_grad():
            x[index] += t
            f.append(module(S)[j, c].item())
            x[index] -= t
    assert (f[0] - f[1]) / (2 * h) == pytest.approx(case["difference"], abs=1e-8)
    assert abs(case["autograd"] - case["difference"]) > 4 * case["bound"]


def test_the_smallest_case_of_each_structural_law_replays():
    f = zoo.Positions().double()
    report = check(zoo.Positions)
    case = case_of(report, "equivariance")
    S, P = torch.tensor(case["S"], dtype=torch.float64), case["permutation"]
    j, c = case["row"], case["column"]
    assert f(S[P])[j, c].item() == pytest.approx(case["found"])
    assert f(S)[P][j, c].item() == pytest.approx(case["expected"])
    case = case_of(report, "causality")
    S = torch.tensor(case["S"], dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(f(S)[case["row"], case["column"]], S)
    assert case["element"] > case["row"]
    assert g[case["element"], case["entry"]].item() == pytest.approx(case["found"])
    case = case_of(check(zoo.scaled_function), "repetition")
    S = torch.tensor(case["S"], dtype=torch.float64)
    once, twice = zoo.scaled_function(S), zoo.scaled_function(S.repeat(2, 1))
    assert once.abs().max().item() == pytest.approx(case["expected"])
    assert twice.abs().max().item() == pytest.approx(case["found"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ForgetsScale", "without the scale"),
        ("QueryForKey", "W_Q in place of W_K"),
        ("TransposedKey", "W_K transposed"),
        ("ManyHeadsTaken", "2 heads instead of 1"),
        ("DetachedQuery", "W_Q by"),
        ("DetachedQuery", "the output agrees, so it is the backward pass"),
    ],
)
def test_the_usual_slips_are_named(name, words):
    assert words in check(getattr(zoo, name)).law("closed-form").detail


def test_a_causal_flag_masks_the_closed_form():
    report = check(zoo.learner, causal=True)
    assert report.failed == ("closed-form", "causality")
    assert "without the mask" in report.law("closed-form").detail


def test_further_parameters_take_the_closed_form_its_claim():
    def tempered():
        module = zoo.Named()
        module.temperature = torch.nn.Parameter(torch.ones(()))
        return module

    law = check(tempered).law("closed-form")
    assert (law.decides, law.holds) == (False, True)
    assert check(tempered, laws=["closed-form"]).law("closed-form").decides


# reading a module


def test_a_module_is_left_as_it_was():
    module = zoo.multihead().train()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    check(module)
    assert module.training
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
    assert module.in_proj_weight.dtype == torch.float32


def test_a_seed_gives_the_same_report_and_leaves_the_generator_alone():
    state = torch.random.get_rng_state()
    first, second = (check(lambda: torch.nn.Linear(3, 3), seed=2) for _ in range(2))
    assert first == second
    assert torch.equal(state, torch.random.get_rng_state())
    assert check(lambda: torch.nn.Linear(3, 3), seed=3) != first


def test_the_width_is_the_modules_own_or_the_one_asked_for():
    assert check(zoo.multihead).shape == (3, 5, 8)
    assert check(zoo.plain).shape == (3, 5, 4)
    assert check(zoo.plain, shape="2,3,1").shape == (2, 3, 1)


def test_float32_and_double_readings_are_told():
    assert check(zoo.OnlyFloat32).dtype == "float32"
    assert "run in float32" in check(zoo.OnlyFloat32).text()
    assert "float32 inside" in check(zoo.SinglePrecisionInside).text()
    assert "give different results" in check(zoo.multihead).text()


# rounding and differences, known by hand


def test_noise_finds_the_precision_and_not_the_slope():
    generator = torch.Generator().manual_seed(0)
    S = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    fine = noise(torch.sin, S, generator)
    coarse = noise(lambda S: torch.sin(S).float().double(), S, generator)
    assert 1e-17 < fine < 1e-14
    assert 1e-9 < coarse < 1e-6
    assert relative(coarse, torch.zeros(2)) == torch.finfo(torch.float32).eps


def test_the_bound_of_a_slope_covers_its_error_and_kinks_have_none():
    t = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    for step in (2.0**-17, 2.0**-10):
        value, bound = slope(lambda h: torch.exp(t * h), step, 1e-16)
        assert ((value - t).abs() <= bound).all()
        assert (bound < 1e-4).all()
    _, bound = slope(lambda h: torch.tensor([abs(h), h * h]), 2.0**-17, 1e-16)
    assert bound.isinf().tolist() == [True, False]


def test_a_margin_is_infinite_for_nan_and_zero_for_equal():
    x = torch.tensor([1.0])
    assert margin(x, x, 0.0) == 0
    assert margin(x * torch.nan, x, 1.0) == float("inf")
    assert margin(x + 1, x, 0.0) == float("inf")


def test_the_search_gives_the_smallest_sequence():
    like = torch.zeros(5, 3)
    found: Any = smallest(lambda S: S.shape[0] > 1 and bool((S[:, 1] > 0).any()), like, 0)
    assert found.tolist() in ([[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]])
    assert smallest(lambda S: False, like, 0) is None
    found = smallest(lambda S: True, like, 0)
    assert found.tolist() == [[0, 0, 0]]
    direction = torch.tensor([[0.5, 2.0], [-1.0, 0.1]])
    assert narrowed(direction, lambda u: bool(u[1, 0] != 0)).tolist() == [[0, 0], [1, 0]]


# the command


def test_exit_status_follows_the_laws_that_decide(capsys):
    assert run(capsys, "variants_zoo:multihead")[0] == 0
    assert run(capsys, "variants_zoo:ForgetsScale")[0] == 1
    assert run(capsys, "variants_zoo:CausalSDPA", causal=True)[0] == 0
    assert run(capsys, "variants_zoo:CausalSDPA", laws="equivariance,repetition")[0] == 1
    assert run(capsys, "variants_zoo:LeaksByOne")[0] == 0
    assert run(capsys, "variants_zoo:LeaksByOne", laws=("causality",))[0] == 1
    assert run(capsys, f"{zoo.__file__}:learner", shape=(2, 3, 4))[0] == 0


def test_the_text_fits_80_columns_and_says_what_matters(capsys):
    status, out, err = run(capsys, "variants_zoo:LeaksByOne", causal=True)
    assert (status, err) == (1, "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.isascii()
    for words in (
        *LAWS,
        "does not hold (not claimed)",
        "cannot see",
        "fails: causality",
        "smallest failing cases",
        "times its bound",
        "expected 0",
    ):
        assert words in out


def test_json_is_one_object_and_nothing_else(capfd):
    status, out, err = run(capfd, "variants_zoo:Printing", json=True, shape="2,3,6", seed=5)
    report = json.loads(out)
    assert status == 0
    assert "noise" in err
    assert list(report) == ["target", "shape", "dtype", "seed", "laws", "verdict"]
    assert report["target"] == "variants_zoo:Printing"
    assert (report["shape"], report["dtype"], report["seed"]) == ([2, 3, 6], "float64", 5)
    assert [law["name"] for law in report["laws"]] == LAWS
    for law in report["laws"]:
        assert list(law) == ["name", "decides", "holds", "cases", "margin", "detail", "smallest"]
        assert (law["smallest"] is not None) == (law["holds"] is False)
    assert report["verdict"] == "holds"
    assert json.loads(run(capfd, "variants_zoo:ForgetsScale", json=True)[1])["verdict"] == "fails"


BAD = {
    "variants_zoo:NeedsArguments": "needs arguments (d, heads)",
    "variants_zoo:TwoArguments": "requires the arguments (x, mask)",
    "variants_zoo:Raises": "raised KeyError: 'no such\\nhead' on a sequence of shape (5, 6)",
    "variants_zoo:Random": "not deterministic",
    "variants_zoo:Remembers": "not deterministic",
    "variants_zoo:normalised": "NaN on a finite sequence, at its smallest S = [[0, 0, 0, 0]]",
    "variants_zoo:flat": "does not return (L, v)",
    "variants_zoo:not_a_tensor": "returned a list",
    "variants_zoo:leaves": "raised SystemExit: 3",
    "variants_zoo:broken_factory": "raised RuntimeError: no weights found",
    "variants_zoo:NUMBER": "expected a function or a module",
    "variants_zoo:HalfInside": "bfloat16 inside",
    "variants_zoo:multihed": "near it are multihead",
    "no_such_module:x": "there is no module 'no_such_module'",
    "no_such_file.py:x": "there is no file",
    "some/path:x": "is no module name",
    "variants_zoo": "expected MODULE:NAME",
}


@pytest.mark.parametrize(("target", "words"), BAD.items())
def test_what_cannot_be_checked_gets_one_line(capsys, target, words):
    status, out, err = run(capsys, target, json=True)
    assert (status, out) == (2, "")
    assert err.startswith("ntteach: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": "2,3,7"}, "--shape 2,3,8"),
        ({"shape": "2,3"}, "shape is N,L,d"),
        ({"shape": "2,0,8"}, "shape is N,L,d"),
        ({"laws": "equivarience"}, "did you mean equivariance"),
        ({"laws": "closed-form"}, "no parameters named W_Q"),
        ({"shape": "1,1,8", "causal": True}, "at least 2 elements"),
    ],
)
def test_bad_options_get_one_line(capsys, options, words):
    status, out, err = run(capsys, "variants_zoo:multihead", **options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; sys.exit('go away')", "raised SystemExit: go away"),
        ("import not_installed_at_all", "needs 'not_installed_at_all', which is not installed"),
        ("def f(:", "raised SyntaxError"),
        ("1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_imported_gets_one_line(capsys, tmp_path, source, words):
    file = tmp_path / "own.py"
    file.write_text(source)
    status, out, err = run(capsys, f"{file}:f")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_a_module_of_the_current_folder_is_found(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine_alone.py").write_text("def f(S):\n    import mine_helper\n    return S\n")
    (tmp_path / "mine_helper.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "mine_alone:f")[0] == 0


def test_from_python_the_error_is_a_value_error():
    with pytest.raises(CannotCheck, match="no law 'nope'"):
        check(zoo.plain, laws=["nope"])
    assert issubclass(CannotCheck, ValueError)
