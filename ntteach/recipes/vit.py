"""A vision transformer that classifies digits, or faces against everything else."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from ntteach.recipes import data
from ntteach.recipes.models import ViT
from ntteach.recipes.rate import decayed
from ntteach.recipes.run import Job, Run, running
from ntteach.teaching import indexed

PATCH = {"digits": 2, "faces": 5}


def teach(job: Job) -> Run:
    """Teach, and return the run."""
    given = job.settings
    images = {"digits": data.digits, "faces": data.faces}[given.data]()
    teacher = given.teacher(len(images.train))
    loader = DataLoader(
        indexed(images.train),
        batch_size=given.batch_size,
        sampler=teacher.sampler,
        generator=torch.Generator(),  # else it reads torch's own
    )

    side = images.train.tensors[0].shape[-1]
    model = ViT(
        image_size=side,
        channels=1,
        patch=PATCH[given.data],
        width=64,
        layers=2,
        heads=4,
        classes=images.classes,
        seed=given.seed,
    ).to(given.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr, weight_decay=0.05)
    # the teacher knows its budget, so that the rate is 0 exactly when training ends
    schedule = LambdaLR(optimizer, decayed(teacher.total_steps(given.batch_size)))

    def losses_of(x, y):
        logits = model(x.to(given.device))
        return F.cross_entropy(logits, y.to(given.device), reduction="none")

    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "teacher": teacher}
    with running(job, images, **parts) as run:
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
            run.end_epoch(lambda: accuracy(model, images.test, given.device))
    return run


@torch.no_grad()
def accuracy(model, test, device) -> dict[str, float]:
    """Mean loss and accuracy on the test set."""
    loss = correct = 0.0
    for x, y in zip(*(part.split(256) for part in test.tensors), strict=True):
        logits, y = model(x.to(device)), y.to(device)
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        correct += (logits.argmax(-1) == y).sum().item()
    return {"test_loss": loss / len(test), "test_accuracy": correct / len(test)}
