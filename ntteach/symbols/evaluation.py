"""Numbers for symbols: the value of an expression at small sizes, exact for exact entries."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

from sympy import (
    Add,
    Basic,
    Dummy,
    Expr,
    Float,
    Indexed,
    Integer,
    KroneckerDelta,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    exp,
    sympify,
)
from sympy.core.function import AppliedUndef

from .names import SHAPES
from .numbers import Exact, Floats, LeavesRing, LogTwo

Values: TypeAlias = Mapping[str, Any]


def evaluate(
    expr: Expr,
    sizes: Mapping[str, int],
    values: Values,
    indices: Mapping[str, int],
) -> Expr:
    """Put in sizes, entries and free indices, all by name, and return the number.

    `values` holds nested sequences for the indexed bases and for `sigma`, and plain numbers for
    scalars. Integers, rationals and multiples of log(2) give an exact result; with a float
    among the values the result is a float. ValueError names what is missing or ill-shaped.

    >>> from ntteach.symbols import L, S, j, total
    >>> evaluate(total(L, lambda x: S[x, j]), {"L": 2, "d": 1}, {"S": [[1], [2]]}, {"j": 1})
    3
    """
    return evaluate_all([expr], sizes, values, [indices])[0][0]


def evaluate_all(
    exprs: Iterable[Expr],
    sizes: Mapping[str, int],
    values: Values,
    places: Iterable[Mapping[str, int]],
) -> list[list[Expr]]:
    """`evaluate` for each expression, at each setting of the free indices: [expression][place].

    What expressions or places have in common is computed once.

    >>> from ntteach.symbols import S, j, n
    >>> evaluate_all([S[j, 1], j], {"L": 2, "d": 1}, {"S": [[5], [7]]}, [{"j": 1}, {"j": 2}])
    [[5, 7], [1, 2]]
    """
    exprs, places = [sympify(expr) for expr in exprs], list(places)
    tables = {name: _table(value) for name, value in values.items()}
    free: dict[Basic, frozenset[Symbol]] = {}
    ranks = ranks_of(exprs)
    for indices in places:
        _check(frozenset().union(*(free_in(x, free) for x in exprs)), ranks, sizes, tables, indices)
    entries = [x for table in tables.values() for x in table.entries.values()]
    kinds = [Floats] if any(x.has(Float) for x in entries) else [LogTwo, Exact]
    for kind in kinds:
        evaluation = _Evaluation(sizes, tables, kind(), free)
        try:
            return [[evaluation.run(expr, indices) for indices in places] for expr in exprs]
        except LeavesRing:
            continue
    raise AssertionError("exact arithmetic has a value for every number")


class _Table:
    """A nested sequence as a mapping from 1-based index tuples to sympy numbers."""

    def __init__(self, shape: tuple[int, ...], entries: dict[tuple[int, ...], Expr]) -> None:
        self.shape, self.entries = shape, entries


def _table(value: Any) -> _Table:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, Sequence):
        return _Table((), {(): sympify(value)})
    parts = [_table(part) for part in value]
    if len({part.shape for part in parts}) > 1:
        return _Table((-1,), {})  # ragged; reported by name in _check
    inner = parts[0].shape if parts else ()
    if inner == (-1,):
        return parts[0]
    entries = {(x, *y): z for x, part in enumerate(parts, 1) for y, z in part.entries.items()}
    return _Table((len(parts), *inner), entries)


Ranks: TypeAlias = Mapping[tuple[str, Basic], int]


def ranks_of(exprs: Iterable[Expr]) -> Ranks:
    """Name and label of each indexed base and each function, with the number of its arguments."""
    # sympy's own traversals go through a shared part as often as it occurs
    ranks: dict[tuple[str, Basic], int] = {}
    seen: set[Basic] = set()
    todo: list[Basic] = list(exprs)
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        todo.extend(node.args)
        if isinstance(node, Indexed):
            ranks[node.base.label.name, node.base.label] = len(node.indices)
        elif isinstance(node, AppliedUndef):
            ranks[node.func.__name__, node.func] = len(node.args)
    return ranks


def free_in(node: Basic, known: dict[Basic, frozenset[Symbol]]) -> frozenset[Symbol]:
    """Every symbol in a node but summation indices; labels of indexed bases count."""
    if node not in known:
        inside = frozenset().union(*(free_in(part, known) for part in node.args))
        if isinstance(node, Symbol):
            inside = frozenset({node})
        elif isinstance(node, Sum):
            inside -= {limit[0] for limit in node.limits}
        known[node] = inside
    return known[node]


def _check(
    symbols: frozenset[Symbol],
    ranks: Ranks,
    sizes: Mapping[str, int],
    tables: Mapping[str, _Table],
    indices: Mapping[str, int],
) -> None:
    labels = {label for _, label in ranks}
    for name in sorted(x.name for x in symbols - labels):
        if name not in sizes and name not in indices and name not in tables:
            raise ValueError(f"{name} has no value: give it in sizes, in indices or in values")
        if name not in sizes and name not in indices and tables[name].shape != ():
            raise ValueError(f"{name} is a plain number, not a sequence")
    for (name, _), rank in ranks.items():
        if name not in tables:
            raise ValueError(f"{name} has no entries: give them in values")
        shape = tables[name].shape
        if shape == (-1,):
            raise ValueError(f"{name} is ragged: its rows differ in length")
        if len(shape) != rank:
            raise ValueError(f"{name} has shape {shape}, but it bears {rank} indices")
        for place, size in enumerate(SHAPES.get((name, rank), ())):
            if size is None or not {x.name for x in size.free_symbols} <= set(sizes):
                continue
            wanted = size.subs({x: sizes[x.name] for x in size.free_symbols})
            if shape[place] != wanted:
                raise ValueError(
                    f"{name} has shape {shape}: its length {place + 1} should be {wanted}"
                )


class _Evaluation:
    def __init__(
        self,
        sizes: Mapping[str, int],
        tables: Mapping[str, _Table],
        numbers: LogTwo | Floats | Exact,
        free: dict[Basic, frozenset[Symbol]],
    ) -> None:
        self.numbers, self.tables, self.sizes, self.free = numbers, tables, sizes, free
        self.bound: dict[Symbol, int] = {}  # current values of free and of summation indices
        # of each node, the indices it depends on, and its value for each setting of them
        self.memo: dict[Basic, tuple[tuple[Symbol, ...], dict[tuple[int | None, ...], Any]]] = {}
        self.leaves: dict[Expr, Any] = {}

    def run(self, expr: Expr, indices: Mapping[str, int]) -> Expr:
        self.bound = {x: indices[x.name] for x in free_in(expr, self.free) if x.name in indices}
        return self.numbers.result(self.number(expr))

    def moves(self, x: Symbol) -> bool:
        """Whether a symbol is an index: a dummy may bear the name of a size or of a table."""
        return isinstance(x, Dummy) or not (x.name in self.sizes or x.name in self.tables)

    def leaf(self, number: Expr) -> Any:
        if number not in self.leaves:
            self.leaves[number] = self.numbers.leaf(number)
        return self.leaves[number]

    def number(self, node: Expr) -> Any:
        """Value of a node; a part is computed once for each setting of the indices it contains."""
        if isinstance(node, Rational):
            return self.leaf(node)
        if node not in self.memo:
            moving = (x for x in free_in(node, self.free) if self.moves(x))
            self.memo[node] = tuple(moving), {}
        indices, known = self.memo[node]
        state = tuple([self.bound.get(x) for x in indices])
        if state not in known:
            known[state] = self.compute(node)
        return known[state]

    def compute(self, node: Expr) -> Any:
        match node:
            case Symbol() if node in self.bound or node.name in self.sizes:
                return self.leaf(Integer(self.whole(node)))
            case Symbol():
                return self.leaf(self.tables[node.name].entries[()])
            case Indexed():
                return self.leaf(self.entry(node.base.label.name, node.indices))
            case AppliedUndef() | KroneckerDelta():
                return self.leaf(Integer(self.whole(node)))
            case Add():
                return sum((self.number(x) for x in node.args), self.leaf(Integer(0)))
            case Mul():
                return prod((self.number(x) for x in node.args), start=self.leaf(Integer(1)))
            case exp():
                return self.numbers.exp(self.number(node.exp))
            case Pow():
                return self.numbers.power(self.number(node.base), self.number(node.exp))
            case Sum():
                return self.sum(node.limits, lambda: self.number(node.function))
        return self.leaf(node)  # a constant such as log(2)

    def sum(self, limits: Sequence[Sequence[Expr]], body: Callable[[], Any]) -> Any:
        if not limits:
            return body()
        *inner, (index, low, high) = limits  # the last limit is the outermost
        result, outside = self.leaf(Integer(0)), self.bound
        for place in range(self.whole(low), self.whole(high) + 1):
            self.bound = {**outside, index: place}
            result = result + self.sum(inner, body)
            self.bound = outside
        return result

    def whole(self, node: Basic) -> int:
        """Value of an index or of a bound."""
        match node:
            case Integer():
                return int(node)
            case Symbol():
                return self.bound[node] if node in self.bound else self.sizes[node.name]
            case KroneckerDelta():
                return int(self.whole(node.args[0]) == self.whole(node.args[1]))
            case AppliedUndef():
                return int(self.entry(node.func.__name__, node.args))
            case Add():
                return sum(self.whole(part) for part in node.args)
            case Mul():
                return prod(self.whole(part) for part in node.args)
        raise ValueError(f"{node} is neither an index nor a bound that can be evaluated")

    def entry(self, name: str, indices: Sequence[Basic]) -> Expr:
        place = tuple(self.whole(x) for x in indices)
        try:
            return self.tables[name].entries[place]
        except KeyError:
            shape = self.tables[name].shape
            raise ValueError(f"{name}{list(place)} is outside the shape {shape}") from None
