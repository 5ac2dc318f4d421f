"""States that a network takes as inputs and gives as outputs: which output becomes which input of the next call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rnnrt.errors import StateError
from rnnrt.ir import Graph, Node, Value
from rnnrt.ops import TensorSpec, get_operator
from rnnrt.passes import specialise
from rnnrt.passes.follow_time import RECURRENT

_MOVES = frozenset(
    "Identity Reshape Squeeze Unsqueeze Transpose Slice Gather Concat Split Flatten Expand Cast Tile".split()
)
"""Operators that hand on what they get, in another shape or in part."""

_ROLES = frozenset(
    "in out input output inputs outputs prev previous next new old init initial last cur current past present updated "
    "n t".split()
)
"""Parts of names that say whether a state comes or goes."""


@dataclass(frozen=True, slots=True)
class StatePair:
    """Output `output` of one call is input `input` of the next; `how` says what told so."""

    input: str
    output: str
    how: str


@dataclass(frozen=True, slots=True)
class StatePairs:
    """What was found, and the inputs that may be states but fit several outputs, with these."""

    pairs: tuple[StatePair, ...]
    ambiguous: Mapping[str, tuple[str, ...]]


def find_state_pairs(graph: Graph) -> StatePairs:
    """The states that a graph passes through its inputs and outputs.

    Three things tell a pair, the first that does counts: a recurrent node begins with the input and the output shows
    its last state; the names say so ("h0" and "hn", "state" and "stateN"); no other input and output have that dtype
    and shape. The first input and the first output are the data of a network and no state, unless a recurrent node
    or their names say otherwise; one input always remains.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    StatePairs
        In the order of the graph's inputs.

    Raises
    ------
    ShapeError
        Shapes within the graph do not fit together.
    """
    if len(graph.inputs) < 2:
        return StatePairs((), {})
    folded, specs = specialise(graph, {v.name: TensorSpec(v.dtype, v.shape) for v in graph.inputs})
    fits = {
        value.name: [o.name for o in folded.outputs if _compatible(specs[value.name], specs[o.name])]
        for value in folded.inputs
    }
    found: dict[str, StatePair] = {}

    def settle(how: str, choices: Mapping[str, Iterable[str]]) -> None:
        """Keep the pairs of inputs with one choice that is nobody else's."""
        taken = {pair.output for pair in found.values()}
        left = {i: {o for o in options if o in fits[i]} - taken for i, options in choices.items() if i not in found}
        wanted = Counter(o for options in left.values() for o in options)
        for i, options in left.items():
            if len(options) == 1 and wanted[o := next(iter(options))] == 1 and len(found) < len(graph.inputs) - 1:
                found[i] = StatePair(i, o, how)

    settle("recurrent node", _by_recurrence(folded))
    for key in (_with_digits, _without_digits):
        settle("names", _by_names(folded, key))
    data = folded.inputs[0].name, folded.outputs[0].name
    same = {
        value.name: [o for o in fits[value.name] if o != data[1] and _equal(specs[value.name], specs[o])]
        for value in folded.inputs
        if value.name != data[0] and len(specs[value.name].shape or ()) >= 2
    }
    settle("dtype and shape", same)
    numbered = _by_names(folded, _digits)
    settle("names", {i: [o for o in numbered.get(i, []) if o in options] for i, options in same.items()})
    taken = {pair.output for pair in found.values()}
    unclear = {i: tuple(o for o in options if o not in taken) for i, options in same.items() if i not in found}
    order = [v.name for v in graph.inputs if v.name in found]
    return StatePairs(tuple(found[i] for i in order), {i: options for i, options in unclear.items() if options})


def chosen_pairs(graph: Graph, given: Mapping[str, str] | None) -> dict[str, str]:
    """Output by input: the pairs that the caller gives, or those that are found.

    Raises
    ------
    StateError
        A name is not that of an input or output, an output is named twice, no input remains; or nothing tells which
        of several outputs belongs to an input.
    """
    inputs, outputs = [v.name for v in graph.inputs], [v.name for v in graph.outputs]
    if given is None:
        found = find_state_pairs(graph)
        if found.ambiguous:
            listed = "; ".join(f"{i!r}: {list(options)}" for i, options in found.ambiguous.items())
            raise StateError(
                f"several outputs fit the inputs that may be states ({listed}); say which belong together with "
                'states={"input": "output"}, or states={} where these inputs are no states'
            )
        return {pair.input: pair.output for pair in found.pairs}
    unknown = [i for i in given if i not in inputs] + [o for o in given.values() if o not in outputs]
    if unknown:
        raise StateError(f"states: {unknown} are not known; the inputs are {inputs}, the outputs {outputs}")
    if len(set(given.values())) != len(given):
        raise StateError(f"states: {dict(given)} names an output twice; each state has its own")
    if len(given) == len(inputs):
        raise StateError(f"states: {dict(given)} leaves no input to be fed")
    return dict(given)


def _compatible(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether both may have the same dtype and shape."""
    if a.dtype != b.dtype or a.shape is None or b.shape is None:
        return a.dtype == b.dtype
    pairs = list(zip(a.shape, b.shape, strict=False))
    return len(a.shape) == len(b.shape) and all(x == y for x, y in pairs if isinstance(x, int) and isinstance(y, int))


def _equal(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether both have the same known extents."""
    if a.shape is None or b.shape is None or not _compatible(a, b):
        return False
    return [isinstance(d, int) for d in a.shape] == [isinstance(d, int) for d in b.shape] and any(
        isinstance(d, int) for d in a.shape
    )


def _by_recurrence(graph: Graph) -> dict[str, set[str]]:
    """For each input the outputs that show the last state of recurrent nodes that begin with the input."""
    made = {name: node for node in graph.nodes for name in node.outputs if name}
    inputs = {v.name for v in graph.inputs}
    starts: dict[tuple[str, int], set[str]] = {}
    for node in graph.nodes:
        if node.op in RECURRENT:
            operator = get_operator(node.op)
            roles = operator.named(node.inputs)  # type: ignore[attr-defined]
            for k, role in enumerate(("initial_h", "initial_c")[: len(operator.results) - 1]):  # type: ignore[attr-defined]
                result = node.outputs[k + 1] if len(node.outputs) > k + 1 else ""
                if result and roles[role]:
                    starts[result, k] = _sources(roles[role], made, inputs, set())
    states = {name for name, _ in starts}
    found: dict[str, set[str]] = {}
    for value in graph.outputs:
        shown = _sources(value.name, made, states, set())
        for (result, _), begins in starts.items():
            if result in shown:
                for name in begins:
                    found.setdefault(name, set()).add(value.name)
    return found


def _sources(name: str, made: Mapping[str, Node], ends: set[str], seen: set[str]) -> set[str]:
    """Which of `ends` a value is made of, by operators that only move elements."""
    found: set[str] = set()
    left = [name]
    while left:
        now = left.pop()
        if now in seen:
            continue
        seen.add(now)
        if now in ends:
            found.add(now)
        elif (node := made.get(now)) is not None and node.op in _MOVES:
            left += node.inputs if node.op == "Concat" else node.inputs[:1]
    return found


Key = Callable[[str], tuple[str, ...]]


def _words(name: str) -> list[str]:
    """A name in parts: "stateN" is state n, "h0" h 0, "hn" h n."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    words = [part.lower() for part in parts]
    return [w for word in words for w in (("h", "n") if word == "hn" else ("c", "n") if word == "cn" else (word,))]


def _with_digits(name: str) -> tuple[str, ...]:
    return tuple(word for word in _words(name) if word not in _ROLES)


def _without_digits(name: str) -> tuple[str, ...]:
    return tuple(word for word in _with_digits(name) if not word.isdigit())


def _digits(name: str) -> tuple[str, ...]:
    """The last number of a name: input_5 goes with stack_5 where their shapes do."""
    return tuple(word for word in _words(name) if word.isdigit())[-1:]


def _by_names(graph: Graph, key: Key) -> dict[str, list[str]]:
    def named(values: tuple[Value, ...]) -> dict[str, tuple[str, ...]]:
        return {v.name: key(v.name) for v in values}

    outputs = named(graph.outputs)
    return {i: [o for o, k in outputs.items() if k == words] for i, words in named(graph.inputs).items() if words}
