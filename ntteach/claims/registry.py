"""The claims, in the paper's order, and what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from ntteach.claims.model import Claim


class UnknownClaim(KeyError):
    """No claim has this key."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, Claim]):
    """Claims by key, in the order given; what they name must exist and hold no circle.

    Raises:
        ValueError: two claims share a key, one names a claim that is not there, or what the
            claims rest on runs in a circle.
    """

    def __init__(self, claims: Iterable[Claim]) -> None:
        self._claims: dict[str, Claim] = {}
        for claim in claims:
            if claim.key in self._claims:
                raise ValueError(f"two claims have the key {claim.key!r}")
            self._claims[claim.key] = claim
        for claim in self._claims.values():
            for other in rests_on(claim) + ((claim.repairs,) if claim.repairs else ()):
                if other not in self._claims:
                    raise ValueError(f"claim {claim.key!r} names {other!r}, which is no claim")
        self.order = self._sorted_by_dependence()

    def __getitem__(self, key: str) -> Claim:
        try:
            return self._claims[key]
        except KeyError:
            near = get_close_matches(key, self._claims, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else "; see `ntteach list`"
            raise UnknownClaim(f"no claim {key!r}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def closure(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The keys and all they rest on, in the paper's order."""
        wanted: set[str] = set()
        stack = list(keys)
        while stack:
            key = stack.pop()
            if key not in wanted:
                claim = self[key]
                wanted.add(key)
                stack.extend(rests_on(claim))
        return tuple(key for key in self if key in wanted)

    def repaired_by(self, key: str) -> tuple[str, ...]:
        """The claims that repair this one."""
        return tuple(claim.key for claim in self.values() if claim.repairs == key)

    def _sorted_by_dependence(self) -> tuple[str, ...]:
        done: dict[str, bool] = {}  # False while a claim's own dependences are being visited
        order: list[str] = []

        def visit(key: str, path: tuple[str, ...]) -> None:
            if done.get(key):
                return
            if key in done:
                raise ValueError(f"claims rest on each other in a circle: {' -> '.join(path)}")
            done[key] = False
            for other in rests_on(self._claims[key]):
                visit(other, (*path, other))
            done[key] = True
            order.append(key)

        for key in self._claims:
            visit(key, (key,))
        return tuple(order)


def rests_on(claim: Claim) -> tuple[str, ...]:
    """The keys that bound this claim's two verdicts."""
    return tuple(dict.fromkeys(claim.requires + claim.paper_uses))
