"""The empirical tangent kernel of any module: against Jacobians by plain loops, and its laws."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest
import torch
from conftest import DTYPES, relative_error
from torch import Tensor, nn

from ntteach import AttentionLearner, antk, oracles
from ntteach.empirical import empirical_ntk, plan, routes, sketched_ntk
from ntteach.empirical.blocks import rows

try:
    import transformers
except ImportError:
    transformers = None

needs_transformers = pytest.mark.skipif(
    transformers is None, reason="transformers is not installed"
)

# Both sides differentiate exactly and add the same products in another order: some hundred terms.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
# Hugging Face computes softmax and some norms in float32, whatever the dtype of the model.
HALVED = {torch.float64: 1e-6, torch.float32: 1e-4}


@dataclass(frozen=True)
class Case:
    """A module, its batch, and where its output is."""

    module: nn.Module
    inputs: Any
    output: Callable[[Any], Tensor] = lambda returned: returned

    def tolerance(self, dtype: torch.dtype = torch.float64) -> float:
        return (HALVED if self.output is logits else TOLERANCE)[dtype]

    def returned(self, inputs: Any) -> Tensor:
        """The whole batch at once, as no sample is evaluated in the package."""
        match inputs:
            case Tensor():
                return self.output(self.module(inputs))
            case tuple():
                return self.output(self.module(*inputs))
            case _:
                return self.output(self.module(**inputs))


def part(inputs: Any, which: slice) -> Any:
    match inputs:
        case Tensor():
            return inputs[which]
        case tuple():
            return tuple(part(x, which) for x in inputs)
        case Mapping():
            return {name: part(x, which) for name, x in inputs.items()}
    return inputs


def jacobian(case: Case, inputs: Any, only: str = "") -> Tensor:
    """`(N, *output, P)`, one output after the other by `torch.autograd.grad`."""
    named = [(n, p) for n, p in case.module.named_parameters() if p.requires_grad and only in n]
    parameters = [p for _, p in named]
    outputs = case.returned(inputs)
    gradients = []
    for number in outputs.flatten():
        found = torch.autograd.grad(number, parameters, retain_graph=True, allow_unused=True)
        flat = [
            (torch.zeros_like(p) if g is None else g).flatten()
            for g, p in zip(found, parameters, strict=True)
        ]
        gradients.append(torch.cat(flat))
    return torch.stack(gradients).unflatten(0, outputs.shape)


def gram(J: Tensor, J_other: Tensor) -> Tensor:
    n, m = J.shape[:-1], J_other.shape[:-1]
    return (J.flatten(0, -2) @ J_other.flatten(0, -2).mT).reshape(*n, *m)


def traced(K: Tensor, axes: int) -> Tensor:
    """The sum over the last of each side's `axes` axes."""
    return K.diagonal(dim1=axes - 1, dim2=-1).sum(-1)


class TwoInputs(nn.Module):
    """Arguments by position and a number for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 4), nn.Linear(3, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.first(x).tanh() * self.second(y)).sum(-1)


class Tied(nn.Module):
    """Tokens in and out through one matrix, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.middle = nn.Linear(3, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, ids: Tensor, scale: float = 1.0) -> Tensor:
        return self.head(self.middle(self.embedding(ids)).tanh()) * scale


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12, 3),
    )


def vit() -> nn.Module:
    assert transformers is not None
    options: dict[str, Any] = {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "image_size": 4,
        "patch_size": 2,
        "num_labels": 3,
        "attn_implementation": "eager",
    }
    return transformers.ViTForImageClassification(transformers.ViTConfig(**options))


def causal_lm(attention: str = "eager") -> nn.Module:
    assert transformers is not None
    options: dict[str, Any] = {
        "vocab_size": 7,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 12,
        "max_position_embeddings": 8,
        "attn_implementation": attention,
        "tie_word_embeddings": True,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**options))


def ids(*shape: int, of: int) -> Tensor:
    return torch.randint(0, of, shape)


def logits(returned: Any) -> Tensor:
    return returned.logits


def make(name: str, dtype: torch.dtype = torch.float64) -> Case:
    """A case by name, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        x = partial(torch.randn, dtype=dtype)
        match name:
            case "mlp":
                case = Case(mlp(), x(5, 3))
            case "convolutions":
                case = Case(convolutions(), x(4, 2, 5, 5))
                case.module(x(4, 2, 5, 5).float())  # running statistics of its own
            case "two inputs":
                case = Case(TwoInputs(), (x(5, 2), x(5, 3)))
            case "tied":
                case = Case(Tied(), {"ids": ids(3, 2, of=5), "scale": 2.0})
            case "attention":
                case = Case(AttentionLearner(4, v=4, o=3, heads=2), x(3, 4, 4))
            case "vit":
                case = Case(vit(), {"pixel_values": x(3, 3, 4, 4)}, logits)
            case "causal lm":
                mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]])
                given = {"input_ids": ids(3, 4, of=7), "attention_mask": mask, "use_cache": False}
                case = Case(causal_lm(), given, logits)
            case _:
                raise ValueError(name)
        case.module.to(dtype).eval()
        return case


MODULES = [
    "mlp",
    "convolutions",
    "two inputs",
    "tied",
    "attention",
    pytest.param("vit", marks=needs_transformers),
    pytest.param("causal lm", marks=needs_transformers),
]
METHODS: list[Literal["jacobian", "products"]] = ["jacobian", "products"]


def kernel(case: Case, inputs_other: Any = None, **options: Any) -> Tensor:
    # Hugging Face outputs are found without help
    found = None if case.output is logits else case.output
    return empirical_ntk(case.module, case.inputs, inputs_other, output=found, **options)


# --- against Jacobians by loops ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODULES)
def test_it_is_the_gram_matrix_of_gradients_by_loops(name, method, dtype):
    case = make(name, dtype)
    J = jacobian(case, case.inputs)
    K = kernel(case, method=method)
    assert K.dtype == dtype
    assert not K.requires_grad
    assert relative_error(K, gram(J, J)) < case.tolerance(dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODULES)
def test_two_sides_of_different_size(name, method):
    case = make(name)
    J = jacobian(case, case.inputs)
    K = kernel(case, part(case.inputs, slice(1, 3)), method=method)
    assert relative_error(K, gram(J, J[1:3])) < case.tolerance()


@pytest.mark.parametrize("method", METHODS)
def test_samples_of_another_shape_on_the_other_side(method):
    case = make("attention")
    longer = torch.randn(2, 6, 4, dtype=torch.float64)
    K = kernel(case, longer, method=method)
    assert K.shape == (3, 4, 3, 2, 6, 3)
    expected = gram(jacobian(case, case.inputs), jacobian(case, longer))
    assert relative_error(K, expected) < case.tolerance()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in MODULES if name != "two inputs"])
def test_the_trace_sums_over_the_last_axis_of_both_outputs(name, method):
    case = make(name)
    other = part(case.inputs, slice(0, 2))
    for given in (None, other):
        whole = kernel(case, given)
        found = kernel(case, given, trace_outputs=True, method=method)
        assert relative_error(found, traced(whole, whole.ndim // 2)) < case.tolerance()


@pytest.mark.parametrize(
    ("heads", "o", "causal"), [(1, None, False), (2, None, True), (2, 3, False)]
)
def test_the_learner_has_the_kernel_of_the_closed_form_and_of_the_oracle(heads, o, causal):
    learner = AttentionLearner(4, d_k=6, v=2, o=o, heads=heads, causal=causal, dtype=torch.float64)
    S, other = (torch.randn(n, 5, 4, dtype=torch.float64) for n in (3, 2))
    mask = torch.ones(5, 5, dtype=torch.bool).tril() if causal else None
    params = {name: p.detach() for name, p in learner.named_parameters()}
    J, J_other = (
        torch.cat(
            [x.flatten(3) for x in oracles.jacobian(params, x, mask=mask, heads=heads).values()], -1
        )
        for x in (S, other)
    )
    expected = gram(J, J_other)
    for method in METHODS:
        assert relative_error(empirical_ntk(learner, S, other, method=method), expected) < 1e-10
    closed = antk(params, S, other, mask="causal" if causal else None, heads=heads)
    assert relative_error(closed, expected) < 1e-10


def test_derivatives_are_those_of_central_differences():
    case = make("mlp")
    parameters = list(case.module.parameters())
    step, columns = 1e-5, []
    with torch.no_grad():
        for p in parameters:
            for i in range(p.numel()):
                flat, at = p.view(-1), p.view(-1)[i].item()
                flat[i] = at + step
                up = case.module(case.inputs)
                flat[i] = at - step
                down = case.module(case.inputs)
                flat[i] = at
                columns.append((up - down) / (2 * step))
    J = torch.stack(columns, -1)
    # a remainder of step^2 / 6 times a third derivative, and rounding over the step
    assert relative_error(kernel(case), gram(J, J)) < 1e-8


# --- chunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trace_outputs", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_block_size_changes_nothing(size, method, trace_outputs):
    case = make("attention")
    for other in (None, case.inputs[:2], case.inputs[[2, 1, 0, 0, 1]]):
        options = {"method": method, "trace_outputs": trace_outputs}
        expected = kernel(case, other, **options)
        assert relative_error(kernel(case, other, block_size=size, **options), expected) < 1e-13


@pytest.mark.parametrize("trace_outputs", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outputs", [1, 2, 4, 7])
def test_the_outputs_of_a_sample_may_be_cut_too(outputs, method, trace_outputs, monkeypatch):
    whole = make("attention")
    case = Case(whole.module, whole.inputs[:2, :2])  # rows of 2 x 3 outputs, 2 samples
    for other in (None, whole.inputs[1:]):
        options = {"method": method, "trace_outputs": trace_outputs}
        expected = kernel(case, other, **options)
        with monkeypatch.context() as patch:
            # a cost of one for each output; blocks have outputs^2 entries
            patch.setattr(
                plan,
                "rows",
                lambda n, lead, width, *_: rows(n, lead, width, outputs, None, outputs**2),
            )
            patch.setattr(routes, "NUMBERS", outputs)
            found = kernel(case, other, **options)
        assert relative_error(found, expected) < 1e-13


@pytest.mark.parametrize("numbers", [1, 5, 10, 29, 30, 64, 300, 10**6])
def test_chunks_cover_every_row_once_and_fit(numbers):
    plan = rows(4, 3, 2, cost=5, block_size=None, numbers=numbers)
    seen = [
        (i, j, k)
        for block in plan.blocks()
        for i in range(*block.samples.indices(99))
        for j in range(*block.lead.indices(99))
        for width in plan.parts()
        for k in range(*width.indices(99))
    ]
    assert sorted(seen) == [(i, j, k) for i in range(4) for j in range(3) for k in range(2)]
    outputs = plan.samples * plan.leads * plan.widths
    assert outputs == 1 or (outputs * 5 <= numbers and outputs**2 <= numbers)


def test_one_sample_at_a_time_needs_no_vmap():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(1, 1).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.line(x) if x.sum().item() > 0 else self.line(2 * x)

    case = Case(Branch(), torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
    with pytest.raises(ValueError, match="block_size=1"):
        kernel(case)
    found = kernel(case, block_size=1, trace_outputs=True)
    assert found.tolist() == [[2.0, -1.0], [-1.0, 5.0]]


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_it_is_symmetric_and_positive_semidefinite(name):
    case = make(name)
    K = kernel(case)
    n = math.isqrt(K.numel())
    K = K.reshape(n, n)
    assert relative_error(K, K.mT) < 1e-14
    assert torch.linalg.eigvalsh(K).min() > -1e-12 * K.norm()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["mlp", "tied", pytest.param("vit", marks=needs_transformers)])
def test_kernels_of_groups_sum_to_the_whole(name, method):
    case = make(name)
    names = [n for n, _ in case.module.named_parameters()]
    groups = {n: n for n in names}
    found = empirical_ntk(
        case.module,
        case.inputs,
        output=None if case.output is logits else case.output,
        groups=groups,
        method=method,
    )
    assert list(found) == names
    assert relative_error(torch.stack(list(found.values())).sum(0), kernel(case)) < case.tolerance()
    for n in names[:3]:
        J = jacobian(case, case.inputs, only=n)
        assert relative_error(found[n], gram(J, J)) < case.tolerance()


@pytest.mark.parametrize("method", METHODS)
def test_patterns_are_names_prefixes_and_wildcards(method):
    case = make("mlp")
    by_name = kernel(case, parameters=["0.weight", "0.bias"], method=method)
    J = jacobian(case, case.inputs, only="0.")
    assert relative_error(by_name, gram(J, J)) < case.tolerance()
    assert torch.equal(by_name, kernel(case, parameters="0", method=method))
    assert torch.equal(by_name, kernel(case, parameters="0.*", method=method))


def test_a_prefix_ends_at_a_dot():
    module = nn.Sequential(*[nn.Linear(2, 2).double() for _ in range(11)])
    case = Case(module, torch.ones(2, 2, dtype=torch.float64))
    J = jacobian(case, case.inputs, only="1.weight")  # and not of "10.weight"
    assert relative_error(kernel(case, parameters="1"), kernel(case, parameters="1.*")) == 0
    assert relative_error(kernel(case, parameters=["1.weight"]), gram(J, J)) < 1e-12


def test_frozen_parameters_do_not_count():
    case = make("mlp")
    last = kernel(case, parameters="2")
    for p in case.module[0].parameters():  # pyright: ignore[reportIndexIssue]
        p.requires_grad_(False)
    assert torch.equal(kernel(case), last)
    with pytest.raises(ValueError, match="'0' fits no parameter that requires a gradient"):
        kernel(case, parameters="0")


def test_a_tied_parameter_counts_once_and_goes_by_each_of_its_names():
    case = make("tied")
    by_first, by_other = (
        kernel(case, parameters=name) for name in ("embedding.weight", "head.weight")
    )
    assert torch.equal(by_first, by_other)
    assert torch.equal(by_first, kernel(case, parameters=["embedding", "head"]))
    # both ways in which the matrix is used: not the sum of two separate kernels
    J = jacobian(case, case.inputs, only="embedding.weight")
    assert relative_error(by_first, gram(J, J)) < case.tolerance()
    with pytest.raises(ValueError, match="two groups"):
        empirical_ntk(case.module, case.inputs, groups={"in": "embedding", "out": "head"})


def test_nothing_about_the_module_changes():
    case = make("convolutions")
    before = {name: x.clone() for name, x in case.module.state_dict().items()}
    generator = torch.random.get_rng_state()
    case.inputs.requires_grad_()
    kernel(case)
    kernel(case, method="products")
    sketched_ntk(case.module, case.inputs, projections=2, seed=0)
    assert all(torch.equal(x, before[name]) for name, x in case.module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in case.module.parameters())
    assert case.inputs.grad is None
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_it_works_where_gradients_are_off():
    case = make("mlp")
    expected = kernel(case)
    with torch.no_grad():
        assert torch.equal(kernel(case), expected)
    with torch.inference_mode():
        assert torch.equal(kernel(case), expected)


@pytest.mark.parametrize("method", METHODS)
def test_autocast_changes_nothing(method):
    module, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    expected = empirical_ntk(module, x, method=method)
    estimate = sketched_ntk(module, x, projections=2, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(empirical_ntk(module, x, method=method), expected)
        found = sketched_ntk(module, x, projections=2, seed=0)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(found.kernel, estimate.kernel)


@pytest.mark.parametrize(
    "call", ["sketched_ntk(m, x, projections=2)", 'empirical_ntk(m, x, method="products")']
)
def test_a_first_call_does_not_warn_of_torchs_own_scripts(call):
    program = (
        "import torch; from ntteach.empirical import empirical_ntk, sketched_ntk\n"
        f"m, x = torch.nn.Linear(2, 1), torch.ones(3, 2); {call}\n"
    )
    arguments = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_low_precision_is_summed_in_float32():
    case = make("mlp", torch.float32)
    case.module.bfloat16()
    K = empirical_ntk(case.module, case.inputs.bfloat16())
    assert K.dtype == torch.float32
    # 8 bits in each factor
    assert relative_error(K, kernel(make("mlp"))) < 0.05


@needs_transformers
@pytest.mark.parametrize("method", METHODS)
def test_fused_attention_is_replaced_by_what_has_all_derivatives(method):
    case = make("causal lm")
    module = causal_lm("sdpa").double().eval()
    module.load_state_dict(case.module.state_dict())
    ids = case.inputs["input_ids"]
    found = empirical_ntk(module, {"input_ids": ids}, method=method)
    assert relative_error(found, empirical_ntk(case.module, {"input_ids": ids})) < 1e-6
    # with padding transformers asks for the values of the mask, which vmap hides
    with pytest.raises(ValueError, match="block_size=1"):
        empirical_ntk(module, case.inputs, method=method)
    found = empirical_ntk(module, case.inputs, method=method, block_size=1)
    assert relative_error(found, kernel(case)) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_pytorchs_own_encoder_layer(method):
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, dtype=torch.float64).eval()
    case = Case(layer, torch.randn(3, 5, 4, dtype=torch.float64))
    J = jacobian(case, case.inputs)
    assert relative_error(kernel(case, method=method), gram(J, J)) < 1e-12
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_networks_are_taken_one_sample_at_a_time(kind):
    module = kind(2, 3, batch_first=True, dtype=torch.float64)
    case = Case(module, torch.randn(3, 4, 2, dtype=torch.float64), lambda returned: returned[0])
    J = jacobian(case, case.inputs)
    assert relative_error(kernel(case, block_size=1), gram(J, J)) < 1e-12
    with pytest.raises(ValueError, match="block_size=1 takes the samples one by one"):
        kernel(case)


# --- out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_out_is_written_to_and_returned(method):
    case = make("mlp")
    out = torch.full((5, 2, 5, 2), torch.nan, dtype=torch.float64)
    found = kernel(case, out=out, method=method)
    assert found is out
    assert torch.equal(out, kernel(case, method=method))
    by_group = {"first": out.clone(), "last": out.clone()}
    found = empirical_ntk(
        case.module, case.inputs, groups={"first": "0", "last": "2"}, out=by_group, method=method
    )
    assert found["last"] is by_group["last"]
    assert relative_error(by_group["first"] + by_group["last"], out) < 1e-13


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (torch.zeros(5, 2, 5), r"out has shape \(5, 2, 5, 2\), got \(5, 2, 5\)"),
        (torch.zeros(5, 2, 2, 5, dtype=torch.float64).mT, "contiguous"),
        (torch.zeros(5, 2, 5, 2, dtype=torch.float64, device="meta"), "out is on cpu, got meta"),
        ([0.0], "out is a tensor, got list"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(out, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kernel(make("mlp"), out=out)


def test_an_out_of_another_dtype_is_of_the_wrong_type():
    with pytest.raises(TypeError, match=r"out is torch\.float64, got torch\.float32"):
        kernel(make("mlp"), out=torch.zeros(5, 2, 5, 2))


def test_an_out_in_memory_that_is_read_or_kept_is_refused():
    pool = torch.arange(1.0, 65)
    line = nn.Linear(4, 1)
    line.weight = nn.Parameter(pool[:4].view(1, 4))
    line.register_buffer("scale", pool[4:8])
    x, other = pool[8:24].view(4, 4), pool[40:56].view(4, 4)
    before = pool.clone()
    for start in (0, 3, 4, 7, 8, 23, 25, 40, 48):  # the last entry of what precedes, too
        out = pool[start : start + 16].view(4, 4)
        with pytest.raises(ValueError, match="shares memory"):
            empirical_ntk(line, x, other, trace_outputs=True, out=out)
        assert torch.equal(pool, before)
    free = pool[24:40].view(4, 4)
    found = empirical_ntk(line, x, other, trace_outputs=True, out=free)
    assert torch.equal(found, x @ other.mT + 1)
    assert torch.equal(pool[:24], before[:24])
    assert torch.equal(pool[40:], before[40:])


def test_groups_write_side_by_side_but_not_over_each_other():
    line, x = nn.Linear(4, 1), torch.arange(16.0).view(4, 4)
    groups, K = {"w": "weight", "b": "bias"}, torch.zeros(2, 4, 4)
    with pytest.raises(ValueError, match="the out of another group"):
        empirical_ntk(line, x, trace_outputs=True, groups=groups, out={"w": K[0], "b": K[0]})
    empirical_ntk(line, x, trace_outputs=True, groups=groups, out={"w": K[0], "b": K[1]})
    assert torch.equal(K[0], x @ x.mT)
    assert torch.equal(K[1], torch.ones(4, 4))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_half_written_is_left(method):
    case = make("mlp")
    calls = 0

    def output(returned: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise OSError("the disk is full")
        return returned

    out = torch.zeros(5, 2, 5, 2, dtype=torch.float64)
    with pytest.raises(OSError, match="the disk is full"):
        empirical_ntk(case.module, case.inputs, output=output, out=out, block_size=1, method=method)
    assert calls == 6
    assert out.isnan().all()


# --- what is refused -----------------------------------------------------------------------------


class Noisy(nn.Module):
    """A line with noise that torch does not know of, or with dropout as a function."""

    def __init__(self, noise: str) -> None:
        super().__init__()
        self.line, self.noise = nn.Linear(3, 2).double(), noise

    def forward(self, x: Tensor) -> Tensor:
        if self.noise == "python":
            return self.line(x) * random.random()
        return nn.functional.dropout(self.line(x), 1e-12, self.training)


class Counting(nn.Module):
    """It counts its calls in a buffer."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 2).double()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.line(x)


def frozen() -> nn.Module:
    return mlp().double().requires_grad_(False)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (convolutions().double(), r"1 \(BatchNorm2d\) normalises by the batch"),
        (nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)).eval(), "needs a batch"),
        (nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.1)), r"1 \(Dropout\) draws random numbers"),
        (Noisy("python"), "two calls of Noisy with one sample differ"),
        (Noisy("torch"), "Noisy draws random numbers"),
        (Counting(), "Counting changes its buffer calls"),
        (nn.Tanh(), "Tanh has no parameters"),
        (frozen(), "no parameter of Sequential requires a gradient"),
        (nn.LazyLinear(2), "weight has no shape yet"),
        (nn.Linear(3, 2, dtype=torch.complex128), "parameters are real, got weight"),
        (nn.Linear(4, 2).double(), r"Linear raised RuntimeError: .*one sample.*\(3,\)"),
        (nn.Linear(3, 2), "Linear raised RuntimeError: .*dtype"),
        (nn.LSTMCell(3, 2).double(), r"a tuple of Tensor \(1, 2\), Tensor \(1, 2\): say which"),
        ("mlp", "module is a torch.nn.Module, got str"),
    ],
)
def test_a_module_without_a_kernel_of_its_own_is_refused(module, message):
    with pytest.raises((ValueError, TypeError), match=message):
        empirical_ntk(module, torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda y: y.sum(), "batch axis of 1 in front"),
        (lambda y: y.argmax(-1), "floating point, got torch.int64"),
        (lambda y: y.tolist(), "returns a tensor, got list"),
        (lambda y: y[7], "raised IndexError"),
        (lambda y: y[:, :0], "at least one output"),
    ],
)
def test_an_output_that_is_none_is_refused(output, message):
    with pytest.raises((ValueError, TypeError), match=message):
        empirical_ntk(mlp(), torch.ones(2, 3), output=output)


def test_a_dictionary_that_is_returned_is_described():
    class Named(nn.Linear):
        def forward(self, input: Tensor) -> Any:
            return {"scores": super().forward(input)}

    with pytest.raises(TypeError, match=r"a dict with scores: say which .*returned\[...\]"):
        empirical_ntk(Named(3, 2), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.tensor(1.0), "samples along axis 0"),
        (torch.ones(0, 3), "at least one sample"),
        ((torch.ones(2, 3), torch.ones(3, 3)), "as many in each"),
        ({"x": 1}, "holds no tensor"),
        ({1: torch.ones(2, 3)}, "keywords"),
        ({"x": [torch.ones(3)]}, r"inputs\['x'\] is a tensor .* or a constant; got list"),
        (3, "a tuple or a mapping of tensors, got int"),
    ],
)
def test_inputs_that_are_no_samples_are_refused(inputs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        empirical_ntk(mlp(), inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "closed_form"}, "method is"),
        ({"block_size": 0}, "at least 1 sample"),
        ({"block_size": 1.5}, "block_size is an int"),
        ({"parameters": "0.wight"}, "fits no parameter .*there are 0.weight"),
        ({"parameters": []}, "a pattern or several"),
        ({"parameters": 3}, "a pattern or several"),
        ({"groups": {}}, "at least one"),
        ({"groups": {"a": "0", "b": "*.weight"}}, "0.weight is in two groups, 'a' and 'b'"),
        ({"groups": {"a": "0", "b": "1"}}, r"groups\['b'\]: '1' fits no parameter"),
        ({"groups": {"a": "0"}, "parameters": "2"}, r"groups\['a'\]: '0' fits no"),
        ({"groups": {"a": "0"}, "out": torch.zeros(2, 2, 2, 2)}, "out is a mapping with the keys"),
        ({"output": lambda y: y[:, 0], "trace_outputs": True}, "which is a number"),
        ({"trace_outputs": "no"}, "trace_outputs is True or False, got 'no'"),
        ({"inputs_other": torch.ones(2, 4)}, "Sequential raised"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        empirical_ntk(mlp(), torch.ones(2, 3), **options)


def test_a_part_without_a_forward_derivative_is_told():
    class Square(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x * x

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return 2 * ctx.saved_tensors[0] * gradients[0]

    class Squared(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return Square.apply(super().forward(input))  # pyright: ignore[reportReturnType]

    case = Case(Squared(3, 2).double(), torch.randn(4, 3, dtype=torch.float64))
    J = jacobian(case, case.inputs)
    assert relative_error(kernel(case), gram(J, J)) < 1e-12
    with pytest.raises(ValueError, match=r'Squared has a part .* forward mode.*method="jacobian"'):
        kernel(case, method="products", block_size=1)
    with pytest.raises(ValueError, match=r"Squared has a part .* forward mode"):
        sketched_ntk(case.module, case.inputs, projections=2, block_size=1)


# --- random projections --------------------------------------------------------------------------


def sketch(case: Case, **options: Any):
    found = None if case.output is logits else case.output
    return sketched_ntk(case.module, case.inputs, output=found, **options)


@pytest.mark.parametrize("trace_outputs", [False, True])
@pytest.mark.parametrize("name", ["mlp", "attention"])
def test_the_error_bar_of_a_sketch_covers_the_error(name, trace_outputs):
    case = make(name)
    K = kernel(case, trace_outputs=trace_outputs)
    runs = 60
    inside, squares, claimed = 0.0, 0.0, 0.0
    for seed in range(runs):
        found = sketch(case, projections=100, seed=seed, trace_outputs=trace_outputs)
        inside += ((found.kernel - K).abs() <= 2 * found.standard_error).double().mean().item()
        squares += relative_error(found.kernel, K) ** 2
        claimed += found.relative_error**2
    # two standard errors of a normal hold 95.4%; products of normals at k = 100 a little less.
    # Entries of one kernel share their directions: some ten independent ones in each run.
    assert 0.91 < inside / runs < 0.98
    # the mean of `runs` squared errors, each with a relative deviation of up to about one
    assert claimed / squares == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("trace_outputs", [False, True])
def test_the_error_of_a_sketch_falls_as_one_over_the_root_of_k(trace_outputs):
    case = make("mlp")
    K = kernel(case, trace_outputs=trace_outputs)
    sizes = [8, 32, 128, 512]
    errors = []
    for k in sizes:
        runs = [
            sketch(case, projections=k, seed=1000 * k + run, trace_outputs=trace_outputs)
            for run in range(30)
        ]
        mean = sum(relative_error(found.kernel, K) ** 2 for found in runs) / len(runs)
        errors.append(mean**0.5)
    x = torch.tensor(sizes, dtype=torch.float64).log()
    y = torch.tensor(errors, dtype=torch.float64).log()
    x, y = x - x.mean(), y - y.mean()
    slope = ((x @ y) / (x @ x)).item()
    # each of the four points is known to about 8%, so that the slope is known to 0.03
    assert slope == pytest.approx(-0.5, abs=0.1)


def test_the_variance_of_a_sketch_is_that_of_products_of_normals():
    case = make("mlp")
    K = kernel(case).reshape(10, 10)
    found = sketch(case, projections=20000, seed=3)
    diagonal = K.diagonal()
    expected = ((diagonal[:, None] * diagonal + K.square()) / 20000).sqrt()
    assert relative_error(found.standard_error.reshape(10, 10), expected) < 0.03


@pytest.mark.parametrize("name", MODULES)
def test_a_sketch_of_every_module_is_within_its_error(name):
    case = make(name)
    found = sketch(case, projections=400, seed=5)
    assert found.kernel.shape == found.standard_error.shape == kernel(case).shape
    error = relative_error(found.kernel, kernel(case))
    assert 0.4 < error / found.relative_error < 2.5
    assert found.projections == 400


@pytest.mark.parametrize("trace_outputs", [False, True])
def test_the_directions_do_not_depend_on_the_chunks(trace_outputs, monkeypatch):
    case = make("attention")
    options = {"projections": 9, "seed": 1, "trace_outputs": trace_outputs}
    expected = sketch(case, **options)
    by_two = sketch(case, block_size=2, **options)
    monkeypatch.setattr("ntteach.empirical.projections.NUMBERS", 200)  # some directions at a time
    monkeypatch.setattr(routes, "NUMBERS", 100)
    for found in (by_two, sketch(case, **options)):
        assert relative_error(found.kernel, expected.kernel) < 1e-13
        assert relative_error(found.standard_error, expected.standard_error) < case.tolerance()
    generator = torch.Generator().manual_seed(1)
    again = sketched_ntk(
        case.module, case.inputs, case.inputs[:2], **{**options, "seed": generator}
    )
    kept = expected.kernel[:, :, :2] if trace_outputs else expected.kernel[:, :, :, :2]
    assert relative_error(again.kernel, kept) < 1e-13
    other = sketch(case, **{**options, "seed": 2})
    assert relative_error(other.kernel, expected.kernel) > 0.1


def test_a_sketch_by_groups_estimates_each():
    case = make("mlp")
    groups = {"first": "0", "last": "2"}
    exact = empirical_ntk(case.module, case.inputs, groups=groups)
    found = sketched_ntk(case.module, case.inputs, projections=2000, seed=0, groups=groups)
    for group in groups:
        error = relative_error(found[group].kernel, exact[group])
        assert 0.4 < error / found[group].relative_error < 2.5
        assert error < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projections": 1}, "at least 2 projections"),
        ({"projections": 2.0}, "projections is an int"),
        ({"projections": 2, "seed": "x"}, "seed is an int"),
        ({"projections": 2, "groups": {"a": "9"}}, "fits no parameter"),
    ],
)
def test_a_sketch_that_cannot_be_drawn_is_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sketched_ntk(mlp(), torch.ones(2, 3), **options)
