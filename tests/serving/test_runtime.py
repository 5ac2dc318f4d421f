"""The runtime without a server around it: models that share no batches, and the statuses of refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnrt import Model, RnnrtError
from rnnrt.ir import Graph, Node, Value
from tests.serving.support import F32, FEATURES, gate, network, sequences, written_out
from tests.support import assert_close

pytest.importorskip("mlserver")

from mlserver import ModelSettings
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest

from rnnrt.serving.mlserver import RnnrtRuntime


def request(parameters: dict[str, Any] | None = None, **arrays: np.ndarray) -> InferenceRequest:
    inputs = [
        {"name": name, "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
        for name, x in arrays.items()
    ]
    return InferenceRequest(inputs=inputs, parameters=parameters)


def settings(path: Path | None, **extra: Any) -> ModelSettings:
    parameters = {"uri": None if path is None else str(path), "extra": extra}
    return ModelSettings(name="m", implementation=RnnrtRuntime, parameters=parameters)


def serve(path: Path, body: Callable[[RnnrtRuntime], Awaitable[None]], **extra: Any) -> None:
    async def main() -> None:
        runtime = RnnrtRuntime(settings(path, **extra))
        assert await runtime.load()
        try:
            await body(runtime)
        finally:
            assert await runtime.unload()

    asyncio.run(main())


def saved(model: Model, folder: Path) -> Path:
    path = folder / "m.rnnrt"
    model.save(path)
    return path


def result(answer: Any, k: int = 0) -> np.ndarray:
    return np.array(answer.outputs[k].data.root, np.float32).reshape(answer.outputs[k].shape)


async def status_of(call: Awaitable[Any], message: str) -> int:
    with pytest.raises(MLServerError, match=message) as error:
        await call
    return error.value.status_code


def test_several_inputs_are_run_as_they_come(tmp_path: Path) -> None:
    values = tuple(Value(name, F32, (None, None, 3)) for name in "ab")
    model = Model.from_graph(Graph(values, (Value("y", F32),), (Node("Sub", ("a", "b"), ("y",)),)))
    a, b = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype(F32)

    async def body(runtime: RnnrtRuntime) -> None:
        answer = await runtime.predict(request(b=b, a=a))
        np.testing.assert_array_equal(result(answer), a - b)
        async with runtime._alone:
            assert await status_of(runtime.predict(request({"timeout": 1}, a=a, b=b)), "deadline passed") == 504
        call = runtime.predict(request({"sequence_id": 1, "sequence_start": True}, a=a, b=b))
        assert await status_of(call, "takes whole sequences only: .*one input") == 400

    serve(saved(model, tmp_path), body)


def test_rows_that_meet_are_run_as_they_come(tmp_path: Path) -> None:
    last = Node("Softmax", ("products",), ("y",), {"axis": 0})
    xs = np.stack(sequences(5, 5, 5))

    async def body(runtime: RnnrtRuntime) -> None:
        products = np.stack([written_out(x)[0] for x in xs])
        want = np.exp(products) / np.exp(products).sum(0)
        assert_close(result(await runtime.predict(request(x=xs))), want)

    serve(saved(network(after=(last,)), tmp_path), body)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_rows_are_put_together_again(tmp_path: Path, layout: int, direction: str) -> None:
    model = network(layout, direction)
    xs = np.stack(sequences(5, 5, 5), 1 - layout)

    async def body(runtime: RnnrtRuntime) -> None:
        answer = await runtime.predict(request(x=xs))
        for k, want in enumerate(model(xs)):
            np.testing.assert_array_equal(result(answer, k), want)

    serve(saved(model, tmp_path), body)


def test_deadline_and_full_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.stack(sequences(4))

    async def body(runtime: RnnrtRuntime) -> None:
        with gate(monkeypatch) as held:
            first = asyncio.create_task(runtime.predict(request(x=x)))
            await asyncio.to_thread(held.wait)
            late = asyncio.create_task(runtime.predict(request({"timeout": 1}, x=x)))
            await asyncio.sleep(0.01)
            assert await status_of(runtime.predict(request(x=x)), "1 requests wait already") == 429
            held.let()
            assert await status_of(late, "the deadline passed") == 504
            assert_close(result(await first)[0], written_out(x[0])[0])
        assert await status_of(runtime.predict(request(x=np.stack(sequences(4, 4, 4)))), "wait already") == 429
        assert_close(result(await runtime.predict(request(x=x)))[0], written_out(x[0])[0])

    serve(saved(network(), tmp_path), body, max_queue=1, max_batch_size=1)


def test_one_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.stack(sequences(4))

    async def body(runtime: RnnrtRuntime) -> None:
        await runtime.predict(request({"sequence_id": "a", "sequence_start": True}, x=x))
        with gate(monkeypatch) as held:
            first = asyncio.create_task(runtime.predict(request({"sequence_id": "a"}, x=x)))
            await asyncio.to_thread(held.wait)
            call = runtime.predict(request({"sequence_id": "a"}, x=x))
            assert await status_of(call, "still being run") == 409
            held.let()
            await first

    serve(saved(network(), tmp_path), body)


def test_what_the_server_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(RnnrtError, match="its settings name no file"):
        asyncio.run(RnnrtRuntime(settings(None)).load())
    with pytest.raises(RnnrtError, match=r"options \['batch'\] are not known"):
        asyncio.run(RnnrtRuntime(settings(tmp_path, batch=3)).load())


def test_an_answer_that_json_cannot_say(tmp_path: Path) -> None:
    root = Node("Sqrt", ("products",), ("y",))
    x = np.stack(sequences(6))
    assert (written_out(x[0])[0] < 0).any()

    async def body(runtime: RnnrtRuntime) -> None:
        assert await status_of(runtime.predict(request(x=x)), "'y' holds nan or inf") == 400
        assert runtime.inputs[0].shape == [-1, -1, FEATURES]

    serve(saved(network(after=(root,)), tmp_path), body)
