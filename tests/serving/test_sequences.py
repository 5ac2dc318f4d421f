"""Sequences by name: pieces, ends, pauses, and requests that come at the wrong time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from rnnrt import RnnrtError, ShapeError
from rnnrt.serving import Batcher, BusySequenceError, QueueFullError, Sequences, UnknownSequenceError
from tests.serving.support import gate, network, sequences, written_out
from tests.support import assert_close


def run(body: Callable[[Batcher], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Batcher(network()) as batcher:
            await body(batcher)

    asyncio.run(main())


def test_pieces_of_two_sequences_side_by_side() -> None:
    a, b = sequences(20, 31)

    async def body(batcher: Batcher) -> None:
        kept = Sequences(batcher)
        parts: dict[str, list[np.ndarray]] = {"a": [], "b": []}
        for k, (start, stop) in enumerate(((0, 1), (1, 9), (9, 20))):
            flags = {"start": k == 0, "end": k == 2}
            answers = await asyncio.gather(
                kept.infer("a", [a[start:stop]], **flags), kept.infer("b", [b[start:stop], a[start:stop]], **flags)
            )
            parts["a"].append(answers[0][0][0])
            parts["b"].append(answers[1][0][0])
            assert_close(answers[1][1][0], answers[0][0][0])
        assert len(kept) == 0
        assert_close(np.concatenate(parts["a"]), written_out(a)[0])
        assert_close(np.concatenate(parts["b"]), written_out(b[:20])[0])

    run(body)


def test_starting_again_forgets_what_was() -> None:
    (x,) = sequences(6)

    async def body(batcher: Batcher) -> None:
        kept = Sequences(batcher)
        await kept.infer(7, [x], start=True)
        (answer,) = await kept.infer(7, [x], start=True)
        assert_close(answer[0], written_out(x)[0])

    run(body)


def test_pauses() -> None:
    (x,) = sequences(4)
    now = [0.0]

    async def body(batcher: Batcher) -> None:
        kept = Sequences(batcher, idle_seconds=10, clock=lambda: now[0])
        await kept.infer("slow", [x], start=True)
        now[0] = 6
        await kept.infer("quick", [x], start=True)
        now[0] = 11
        await kept.infer("quick", [x])
        assert len(kept) == 1
        with pytest.raises(UnknownSequenceError, match=r"'slow' is not known: .*paused for more than 10 s; begin it"):
            await kept.infer("slow", [x])

    run(body)


def test_wrong_times(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sequences(4, 5)

    async def body(batcher: Batcher) -> None:
        kept = Sequences(batcher, most=1)
        with pytest.raises(UnknownSequenceError, match="never started"):
            await kept.infer("a", [x])
        await kept.infer("a", [x], start=True)
        with pytest.raises(QueueFullError, match="1 sequences already"):
            await kept.infer("b", [x], start=True)
        with pytest.raises(ShapeError, match="started with 1 rows, this piece has 2"):
            await kept.infer("a", [x, x])
        with gate(monkeypatch) as held:
            first = asyncio.create_task(kept.infer("a", [y]))
            await asyncio.to_thread(held.wait)
            with pytest.raises(BusySequenceError, match="still being run"):
                await kept.infer("a", [y])
            held.let()
            ((products, _),) = await first
        assert_close(products, written_out(np.concatenate([x, y]))[0][4:])
        await kept.infer("a", [x], end=True)
        with pytest.raises(UnknownSequenceError):
            await kept.infer("a", [x])

    run(body)


def test_a_piece_that_fails_leaves_the_sequence_where_it_was() -> None:
    x, y = sequences(4, 5)

    async def body(batcher: Batcher) -> None:
        kept = Sequences(batcher)
        with pytest.raises(ShapeError):
            await kept.infer("new", [x, x[:, :2]], start=True)
        assert len(kept) == 0
        await kept.infer("a", [x], start=True)
        with pytest.raises(ShapeError):
            await kept.infer("a", [y[:, :2]], end=True)
        ((products, _),) = await kept.infer("a", [y])
        assert_close(products, written_out(np.concatenate([x, y]))[0][4:])

    run(body)


def test_limits_are_checked() -> None:
    with Batcher(network()) as batcher, pytest.raises(RnnrtError, match="must be above 0"):
        Sequences(batcher, most=0)
