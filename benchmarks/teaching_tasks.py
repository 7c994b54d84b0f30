"""What the teachers are compared on: images of digits for a ViT, text for a language model.

A task is frozen: its data follow from it and a split seed, the learner's initial weights from a
seed, and both are the same for every arm. Images are split by the digit they come from, text by
place.
"""

from __future__ import annotations

from typing import Any

from teaching_data import RATES, VERSION, Data
from teaching_images import Images
from teaching_text import Text, corpus

__all__ = ["RATES", "VERSION", "Data", "Images", "Task", "Text", "corpus", "task_of"]

Task = Images | Text


def task_of(name: str) -> Task:
    """The task of a name such as "vit" or "lm,noise=0.2,copies=0.5".

    Raises:
        ValueError: another learner, or a parameter that its task does not have.

    >>> task_of("vit,noise=0.2").noise
    0.2
    """
    learner, *changes = name.split(",")
    kinds: dict[str, type[Task]] = {"vit": Images, "lm": Text}
    if learner not in kinds:
        raise ValueError(f"task {name!r} begins with neither 'vit' nor 'lm'")
    given: dict[str, Any] = {}
    for change in changes:
        key, _, value = change.partition("=")
        kind = kinds[learner].__dataclass_fields__.get(key)
        if kind is None:
            raise ValueError(f"task {name!r} sets {key!r}, which {learner} does not have")
        given[key] = int(value) if kind.type == "int" else float(value)
    return kinds[learner](**given)
