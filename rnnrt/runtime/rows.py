"""Whether rows of a batch leave each other alone, and which axes hold them: what a pool needs to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnnrt.errors import ShapeError, StateError
from rnnrt.ir import Graph, Shape
from rnnrt.ops import TensorSpec
from rnnrt.passes import specialise
from rnnrt.passes.follow_time import Refusal, follow
from rnnrt.runtime.layout import Layout

_SIZES = (7, 11)


def input_shapes(layout: Layout) -> dict[str, Shape]:
    """The shapes of a network's own inputs in a step of that layout."""
    shapes: dict[str, Shape] = {s.name: s.initial.shape for s in layout.slots}
    for feed in layout.feeds:
        shapes[feed.value.name] = tuple(1 if i == feed.time else d for i, d in enumerate(feed.value.shape or ()))
    return shapes


def check_rows(graph: Graph, small: Mapping[str, Shape], large: Mapping[str, Shape]) -> None:
    """Raise unless every row of the results depends on its own row of the inputs alone.

    Parameters
    ----------
    graph : Graph
        With constants folded.
    small, large : mapping of str to shape
        Shapes of its inputs for batches of 7 and 11.

    Raises
    ------
    StateError
        A node mixes rows; the message names it.
    """
    try:
        made = [
            specialise(graph, {v.name: TensorSpec(v.dtype, shapes[v.name]) for v in graph.inputs})
            for shapes in (small, large)
        ]
        fed = [v.name for v in graph.inputs if small[v.name] != large[v.name]]
        follow(made[0][0], made[0][1], made[1][1], _SIZES, fed)
    except Refusal as error:
        raise StateError(
            f"{error.node.label()} may mix the rows of a batch, so that streams cannot share one; "
            "use model.stream() for each sequence"
        ) from None
    except ShapeError as error:
        raise StateError(f"the network takes no free batch, which a pool needs: {error}") from None


def row_axis(what: str, shapes: Sequence[Shape | None], sizes: tuple[int, int] = _SIZES) -> int:
    """The axis of the rows: the one that has the extents `sizes` in the two shapes.

    Raises
    ------
    StateError
        There is none.
    """
    a, b = shapes
    if a is not None and b is not None and len(a) == len(b):
        moved = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        if len(moved) == 1 and (a[moved[0]], b[moved[0]]) == sizes:
            return moved[0]
    raise StateError(f"{what} has no axis for the batch alone, so that streams cannot share one")
