"""A small language model, built as Llama, that predicts the characters of a text."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from ntteach.recipes import data
from ntteach.recipes.models import LanguageModel
from ntteach.recipes.rate import decayed
from ntteach.recipes.run import Job, Run, running
from ntteach.teaching import indexed

CONTEXT = 64


def teach(job: Job) -> Run:
    """Teach, and return the run."""
    given = job.settings
    text = data.text(given.data, length=CONTEXT)
    teacher = given.teacher(len(text.train))
    loader = DataLoader(
        indexed(text.train),
        batch_size=given.batch_size,
        sampler=teacher.sampler,
        generator=torch.Generator(),  # else it reads torch's own
    )

    model = LanguageModel(
        vocab=text.classes, width=64, layers=2, heads=4, context=CONTEXT, seed=given.seed
    ).to(given.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=given.lr, betas=(0.9, 0.95), weight_decay=0.1
    )
    # the teacher knows its budget, so that the rate is 0 exactly when training ends
    schedule = LambdaLR(optimizer, decayed(teacher.total_steps(given.batch_size)))

    def losses_of(x, y):
        logits = model(x.to(given.device))  # (n, L, vocab)
        losses = F.cross_entropy(logits.transpose(1, 2), y.to(given.device), reduction="none")
        return losses.mean(1)  # all windows are equally long: (n,)

    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "teacher": teacher}
    with running(job, text, **parts) as run:
        if given.first == "score" and run.steps == 0:
            run.score_all(losses_of)
        for epoch in range(teacher.epoch, teacher.epochs):
            teacher.set_epoch(epoch)
            for ids, x, y in run.batches(loader):
                losses = losses_of(x, y)
                optimizer.zero_grad()
                teacher.update(ids, losses).backward()
                optimizer.step()
                schedule.step()
                run.learned(losses)
            run.end_epoch(lambda: accuracy(model, text.test, given.device))
    return run


@torch.no_grad()
def accuracy(model, test, device) -> dict[str, float]:
    """Mean loss of a character, in nats, and the share that is guessed, on the test set."""
    loss = correct = 0.0
    for x, y in zip(*(part.split(64) for part in test.tensors), strict=True):
        logits, y = model(x.to(device)).flatten(0, 1), y.to(device).flatten()
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        correct += (logits.argmax(-1) == y).sum().item()
    characters = test.tensors[1].numel()
    return {"test_loss": loss / characters, "test_accuracy": correct / characters}
