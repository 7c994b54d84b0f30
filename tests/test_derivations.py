"""Every identity of every derivation: proved, true at exact small sizes, and able to fail."""

# sympy annotates sums and differences as if they could be relations.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from sympy import exp, expand, simplify

from ntteach.symbols import (
    W_K,
    W_Q,
    W_V,
    S,
    a,
    b,
    c,
    derivative,
    evaluate,
    evaluate_all,
    i,
    is_zero,
    j,
    m,
    mutations,
    output,
    replace_entries,
    sigma,
    small_case,
)

FOLDER = Path(__file__).parent.parent / "derivations"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
NAMES = ("L", "M", "d", "d_k", "v", "o", "H", "d_h", "v_h", "r", "N", "L2", "M2")
ONES = dict.fromkeys(NAMES, 1)
SIZES = {
    "default": {},
    "all one": ONES,
    "one token": {"L": 1, "M": 1, "L2": 1, "M2": 1, "d": 2, "d_k": 4, "v": 2},
    "one feature": {"L": 3, "d": 1, "d_k": 1, "v": 1, "o": 1, "H": 3, "d_h": 1, "v_h": 1, "r": 3},
}


@cache
def load(script):
    spec = importlib.util.spec_from_file_location(f"derivation_{script}", FOLDER / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_identity_is_proved(script):
    identities = load(script).IDENTITIES
    assert len({name for name, _, _ in identities}) == len(identities) > 0
    for name, lhs, rhs in identities:
        assert is_zero(lhs, rhs), name


def equal(one, other):
    """Whether two exact numbers are one; beside powers of log 2 there may be exp of others."""
    gap = expand(one - other)
    return gap == 0 or (gap.has(exp) and simplify(gap) == 0)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_identity_is_true_in_numbers(script, sizes):
    for name, lhs, rhs in load(script).IDENTITIES:
        size, values, indices = small_case(lhs, rhs, sizes=SIZES[sizes], seed=1)
        # once with equal columns, heads, ..., where deltas are 1, once with others
        others = ("b", "g", "p", "k", "c2", "h2", "e2")
        places = [indices, indices | {x: 1 for x in others if x in indices}]
        left, right = evaluate_all([lhs, rhs], size, values, places)
        assert all(map(equal, left, right)), name


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_mutant_is_refuted_in_numbers(script):
    for name, lhs, rhs in load(script).IDENTITIES:
        # a side that is a plain number has no symbol to double
        kept, changed = (lhs, rhs) if rhs.free_symbols else (rhs, lhs)
        surviving, zero = dict(mutations(changed)), True
        assert surviving, name
        # one case of small whole numbers may hide a factor behind a zero
        for seed in range(6):
            case, values, indices = small_case(lhs, rhs, seed=seed)
            (number,), *numbers = evaluate_all([kept, *surviving.values()], case, values, [indices])
            zero = zero and number == 0
            mutated = zip(surviving.items(), numbers, strict=True)
            surviving = {x: expr for (x, expr), (found,) in mutated if equal(found, number)}
            if not surviving and not zero:
                break
        assert not zero, name
        assert not surviving, (name, *surviving)


# The last mutant of each identity is put to the proof by `ntteach verify`.
@pytest.mark.parametrize("script", SCRIPTS)
def test_mutants_are_not_proved(script):
    for name, lhs, rhs in load(script).IDENTITIES:
        kept, changed = (lhs, rhs) if rhs.free_symbols else (rhs, lhs)
        mutant, expr = next(mutations(changed))
        assert not is_zero(kept, expr), (name, mutant)


WRONG = {
    "the sign of Eq. 11": lambda x: -x,
    "Eq. 11 without the scale": lambda x: x / load("query_gradient").scale(),
    "values in the place of keys": lambda x: replace_entries(x, W_K, lambda y, z: W_V[y, z]),
    "features of another token": lambda x: x.xreplace({S[j, a]: S[1, a]}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_closed_forms_are_neither_proved_nor_true(name):
    _, lhs, rhs = load("query_gradient").IDENTITIES[-1]
    wrong = WRONG[name](rhs)
    case = small_case(lhs, rhs, sizes={"v": 4})
    assert not is_zero(lhs, wrong)
    assert evaluate(lhs, *case) != evaluate(wrong, *case)


@pytest.mark.parametrize("entry", [None, W_V[a, b], W_Q[a, i], W_K[a, i]])
@pytest.mark.parametrize("mask", [False, True])
def test_equivariance_holds_before_any_reindexing(mask, entry):
    # The identities of the derivation have used the law about sums; here numbers decide.
    f = output(j, c, mask=mask)
    partial = f if entry is None else derivative(f, entry)
    moved = replace_entries(partial, S, lambda k, x: S[sigma(k), x])
    moved = replace_entries(moved, m, lambda j, k: m[sigma(j), sigma(k)])
    size, values, indices = small_case(moved, sizes={"L": 3})
    for row in (1, 2, 3):
        lhs = evaluate(moved, size, values, indices | {"j": row})
        rhs = evaluate(partial, size, values, indices | {"j": values["sigma"][row - 1]})
        assert lhs == rhs
        if entry is None:  # equivariant, not invariant
            assert lhs != evaluate(partial, size, values, indices | {"j": row})


def test_repetition_under_a_causal_mask_changes_the_output():
    # The derivation says why there is no such identity; here is the case.
    f = output(j, c, causal=True)
    size, values, _ = small_case(f)
    twice = {**values, "S": [*values["S"], *values["S"]]}
    short = evaluate(f, size, values, {"j": 1, "c": 1})
    assert evaluate(f, {**size, "L": 4}, twice, {"j": 1, "c": 1}) == short
    assert evaluate(f, {**size, "L": 4}, twice, {"j": 3, "c": 1}) != short


def test_a_script_run_by_itself_reports():
    done = subprocess.run(
        [sys.executable, FOLDER / "recurrent.py"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(FOLDER.parent)},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(load("recurrent").IDENTITIES)
    assert all(line.startswith("holds  ") for line in lines)
