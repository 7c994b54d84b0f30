"""Attention modules to check, right ones and some with one planted mistake each."""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

from ntteach import AttentionLearner, attention


def seeded(make, *args, **kwargs):
    """A module whose weights are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make(*args, **kwargs)


# right


def multihead():
    return seeded(nn.MultiheadAttention, 8, 2)


def multihead_batch_first():
    return seeded(nn.MultiheadAttention, 8, 2, batch_first=True)


def learner():
    return AttentionLearner(4, v=2, generator=torch.Generator().manual_seed(1))


def heads_and_output():
    return AttentionLearner(4, d_k=6, v=4, o=3, heads=2, generator=torch.Generator().manual_seed(1))


def causal_learner():
    return AttentionLearner(4, v=2, causal=True, generator=torch.Generator().manual_seed(1))


class Projections(nn.Module):
    """Queries, keys and values by linear layers; batch of any shape."""

    diagonal = None
    d = 6

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (seeded(nn.Linear, self.d, self.d) for _ in range(3))
        nn.init.eye_(self.k.weight)

    def forward(self, x):
        L = x.shape[-2]
        mask = None
        if self.diagonal is not None:
            mask = torch.ones(L, L, dtype=torch.bool).tril(self.diagonal)
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), mask)


class CausalSDPA(Projections):
    diagonal = 0


class BatchOnly(Projections):
    def forward(self, x):
        _, _, _ = x.shape
        return super().forward(x)


class WithReLU(Projections):
    """Kinks everywhere, and exactly at S = 0."""

    def forward(self, x):
        return super().forward(F.relu(x))


class SinglePrecisionInside(Projections):
    """As Hugging Face's eager attention: softmax in float32 whatever comes in."""

    def forward(self, x):
        logits = self.q(x) @ self.k(x).mT / math.sqrt(x.shape[-1])
        return F.softmax(logits, -1, dtype=torch.float32).to(x.dtype) @ self.v(x)


class OnlyFloat32(Projections):
    def forward(self, x):
        return super().forward(x) @ torch.eye(x.shape[-1], dtype=torch.float32)


class Printing(Projections):
    def forward(self, x):
        print("noise on standard output")
        return super().forward(x)


def vit(implementation="eager"):
    from transformers import ViTConfig
    from transformers.models.vit.modeling_vit import ViTAttention

    config = ViTConfig(
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=16,
        attn_implementation=implementation,  # pyright: ignore[reportCallIssue]
    )
    return seeded(ViTAttention, config).train()  # check puts it in eval mode


def vit_sdpa():
    """Reads (L, d) as a batch, without complaint."""
    return vit("sdpa")


def bert():
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertAttention

    config = BertConfig(
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=16,
        attn_implementation="eager",  # pyright: ignore[reportCallIssue]
    )
    return seeded(BertAttention, config)


class NoInit(nn.Module):
    def forward(self, S):
        return S.cumsum(-2)


def plain(S):
    """Attention without parameters."""
    return torch.softmax(S @ S.mT / math.sqrt(S.shape[-1]), -1) @ S


def make_plain():
    return plain


def causal_mean(S):
    return S.cumsum(-2) / torch.arange(1, S.shape[-2] + 1, dtype=S.dtype)[:, None]


def query_key_value(query, key, value):
    return attention(
        {
            "W_Q": torch.eye(4).to(query),
            "W_K": torch.eye(4).to(query),
            "W_V": torch.eye(4).to(query),
        },
        query,
        context=key,
    )


INSTANCE = seeded(Projections)
NUMBER = 3

# one planted mistake each


class SoftmaxWithWrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits):
        A = torch.softmax(logits, -1)
        ctx.save_for_backward(A)
        return A

    @staticmethod
    def backward(ctx, *gradients):
        (A,) = ctx.saved_tensors
        return A * gradients[0]  # the row's mean is not subtracted


class WrongBackward(Projections):
    def forward(self, x):
        logits = self.q(x) @ self.k(x).mT / math.sqrt(x.shape[-1])
        return SoftmaxWithWrongBackward.apply(logits) @ self.v(x)


class DetachedKey(Projections):
    def forward(self, x):
        return F.scaled_dot_product_attention(self.q(x), self.k(x).detach(), self.v(x))


class Named(nn.Module):
    """Eq. 2 by hand."""

    d, d_k, width = 4, 4, 2

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        shapes = {"W_Q": (self.d, self.d_k), "W_K": (self.d, self.d_k), "W_V": (self.d, self.width)}
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.randn(shape, generator=generator) / 2))

    def logits(self, S):
        return (S @ self.W_Q) @ (S @ self.W_K).mT / math.sqrt(self.d_k)

    def forward(self, S):
        return torch.softmax(self.logits(S), -1) @ (S @ self.W_V)


class ForgetsScale(Named):
    def logits(self, S):
        return (S @ self.W_Q) @ (S @ self.W_K).mT


class QueryForKey(Named):
    def logits(self, S):
        return (S @ self.W_Q) @ (S @ self.W_Q).mT / math.sqrt(self.d_k)


class TransposedKey(Named):
    def logits(self, S):
        return (S @ self.W_Q) @ (S @ self.get_parameter("W_K").mT).mT / math.sqrt(self.d_k)


class ManyHeadsTaken(Named):
    """Says one head, computes two."""

    def forward(self, S):
        params = dict(self.named_parameters())
        return attention(params, S, heads=2)


class DetachedQuery(Named):
    def logits(self, S):
        return (S @ self.get_parameter("W_Q").detach()) @ (S @ self.W_K).mT / math.sqrt(self.d_k)


class LeaksByOne(Projections):
    diagonal = 1


class LeaksDetached(CausalSDPA):
    """The future comes in behind autograd's back."""

    def forward(self, x):
        return super().forward(x) + x.detach().mean(-2, keepdim=True)


class GradientFromTheFuture(CausalSDPA):
    """Its values are causal, its backward pass is not."""

    def forward(self, x):
        mean = x.mean(-2, keepdim=True)
        return super().forward(x) + (mean - mean.detach())


class ScaledByContent(Projections):
    def forward(self, x):
        return super().forward(x) * x.norm()


def scaled_function(S):
    return plain(S) * S.norm()


class Positions(Projections):
    def forward(self, x):
        return super().forward(x + torch.linspace(0, 1, x.shape[-2], dtype=x.dtype)[:, None])


# what cannot be checked


class NeedsArguments(nn.Module):
    def __init__(self, d, heads):
        super().__init__()


class TwoArguments(Projections):
    def forward(self, x, mask):
        return super().forward(x)


class Raises(Projections):
    def forward(self, x):
        raise KeyError("no such\nhead")


class Random(Projections):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5)


class Remembers(Projections):
    kept = 0.0

    def forward(self, x):
        self.kept = self.kept / 2 + x.detach().mean()
        return super().forward(x) + self.kept


def normalised(S):
    """0 / 0 where an element is zero."""
    return S / S.norm(dim=-1, keepdim=True)


def flat(S):
    return S.sum(-1)


def not_a_tensor(S):
    return S.tolist()


def leaves(S):
    sys.exit(3)


def broken_factory():
    raise RuntimeError("no weights found")


class HalfInside(Projections):
    def forward(self, x):
        return super().forward(x).bfloat16().to(x.dtype)


class StartsAtZero(SinglePrecisionInside):
    """A right module that gives 0, as an adapter does before it is trained."""

    def __init__(self):
        super().__init__()
        self.o = nn.Linear(self.d, self.d)
        nn.init.zeros_(self.o.weight)
        nn.init.zeros_(self.o.bias)

    def forward(self, x):
        return self.o(super().forward(x))


class StraightThrough(Projections):
    """Rounds, and lets autograd believe it does not."""

    def forward(self, x):
        y = super().forward(x)
        return y + (y.round() - y).detach()
