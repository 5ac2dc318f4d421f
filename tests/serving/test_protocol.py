"""Requests of the Open Inference Protocol: what is read, and that nothing is taken that is not understood."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnnrt import RnnrtError, ShapeError
from rnnrt.models import TensorInfo
from rnnrt.serving.limits import Limits
from rnnrt.serving.options import Options
from rnnrt.serving.protocol import Wanted, arrays_of, output_names, tensors_of, wanted

INPUTS = (TensorInfo("x", np.dtype("float32"), (None, None, 2)), TensorInfo("ids", np.dtype("int64"), (None,)))


def parameters(**given: Any) -> Any:
    return SimpleNamespace(**given)


def tensor(name: str, shape: list[int], datatype: str, data: Any, **given: Any) -> Any:
    return SimpleNamespace(name=name, shape=shape, datatype=datatype, data=data, parameters=parameters(**given))


def request(x: Any = None, ids: Any = None, **given: Any) -> Any:
    x = x or tensor("x", [1, 2, 2], "FP32", [1, 2.5, 3, 4])
    inputs = [ids or tensor("ids", [3], "INT32", [1, 2, 3]), x]
    return SimpleNamespace(inputs=inputs, outputs=None, parameters=parameters(**given))


def test_arrays() -> None:
    arrays = arrays_of(request(), INPUTS)
    assert arrays["x"].dtype == np.float32
    np.testing.assert_array_equal(arrays["x"], [[[1, 2.5], [3, 4]]])
    np.testing.assert_array_equal(arrays["ids"], [1, 2, 3])
    nested = tensor("x", [2, 1, 2], "FP64", [[[1, 2]], [[3, 4]]], content_type="np")
    np.testing.assert_array_equal(arrays_of(request(nested), INPUTS)["x"], [[[1, 2]], [[3, 4]]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (tensor("z", [1], "FP32", [1]), r"takes the inputs \['x', 'ids'\], each once; got \['ids', 'z'\]"),
        (tensor("ids", [1], "FP32", [1]), r"each once; got \['ids', 'ids'\]"),
        (tensor("x", [1, 2, 3], "FP32", [0] * 6), r"takes the shape \[-1, -1, 2\] \(-1: any\), got \[1, 2, 3\]"),
        (tensor("x", [2, 2], "FP32", [0] * 4), "takes the shape"),
        (tensor("x", [1, 2, 2], "FP32", [0] * 3), r"shape \[1, 2, 2\] does not fit the data, \[3\] numbers"),
        (tensor("x", [-1, -2, 2], "FP32", [0] * 4), "does not fit"),
        (tensor("x", [1, 2, 2], "FP32", [[1, 2, 3, 4]]), "does not fit"),
        (tensor("x", [1, 2, 2], "FP32", [[1, 2, 3], [4]]), "nested unevenly"),
        (tensor("x", [1, 2, 2], "FP32", [1, 2, "3", 4]), "no numbers of datatype FP32"),
        (tensor("x", [1, 2, 2], "FP32", [1, None, 3, 4]), "no numbers of datatype FP32"),
        (tensor("x", [1, 2, 2], "FP32", [True] * 4), "no numbers of datatype FP32"),
        (tensor("x", [1, 2, 2], "FP32", [1, 2, 3, 1e39]), "out of the range of FP32"),
        (tensor("x", [1, 2, 2], "INT8", [1, 2, 3, 128]), "out of the range of INT8"),
        (tensor("x", [1, 2, 2], "UINT8", [1, 2, 3, -1]), "out of the range of UINT8"),
        (tensor("x", [1, 2, 2], "BYTES", ["a"] * 4), "datatype BYTES is not one of"),
        (tensor("x", [1, 2, 2], "BOOL", [True] * 4), "takes FP32, got BOOL"),
        (tensor("x", [1, 2, 2], "FP32", [0] * 4, content_type="pd"), "content_type 'pd' is not understood"),
        (tensor("x", [1, 2, 2], "FP32", [], binary_data_size=16), "comes as binary data; send JSON"),
        (tensor("x", [1, 2, 2], "FP32", [0] * 4, unit="m"), r"parameters \['unit'\] are not understood"),
    ],
)
def test_bad_inputs(x: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        arrays_of(request(x), INPUTS)


def test_fractions_are_no_indices() -> None:
    with pytest.raises(ShapeError, match="no numbers of datatype INT64"):
        arrays_of(request(ids=tensor("ids", [1], "INT64", [0.5])), INPUTS)
    with pytest.raises(ShapeError, match="takes INT64, got FP32"):
        arrays_of(request(ids=tensor("ids", [1], "FP32", [0.5])), INPUTS)


def test_parameters() -> None:
    assert wanted(request()) == Wanted(None, False, False, None)
    assert wanted(request(sequence_id=0, sequence_start=False)) == Wanted(None, False, False, None)
    asked = request(sequence_id="a", sequence_start=True, sequence_end=True, timeout=1500, binary_data_output=True)
    assert wanted(asked) == Wanted("a", True, True, 1.5e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sequence": 1}, r"parameters \['sequence'\] are not understood; those of a request are \['sequence_id'"),
        ({"sequence_id": 1.5}, "sequence_id=1.5 must be"),
        ({"sequence_id": True}, "sequence_id=True must be"),
        ({"sequence_id": 1, "sequence_start": "yes"}, "sequence_start='yes' must be true or false"),
        ({"sequence_start": True}, "need a sequence_id"),
        ({"timeout": 0}, "timeout=0 must be"),
    ],
)
def test_bad_parameters(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        wanted(request(**given))


def test_outputs() -> None:
    asked = request()
    assert output_names(asked, INPUTS) == ["x", "ids"]
    asked.outputs = [SimpleNamespace(name="ids", parameters=parameters(binary_data=True))]
    assert output_names(asked, INPUTS) == ["ids"]
    asked.outputs = [SimpleNamespace(name="y", parameters=None)]
    with pytest.raises(ShapeError, match=r"output 'y' is not known; the model gives \['x', 'ids'\]"):
        output_names(asked, INPUTS)
    asked.outputs = [SimpleNamespace(name="x", parameters=parameters(classification=3))]
    with pytest.raises(ShapeError, match="'classification'"):
        output_names(asked, INPUTS)
    results = {"y": np.array([[0.5, 2]], np.float32), "n": np.array([3]), "bad": np.array([np.nan])}
    assert tensors_of(["n", "y"], results) == [
        {"name": "n", "shape": [1], "datatype": "INT64", "data": [3]},
        {"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 2.0]},
    ]
    with pytest.raises(ShapeError, match="'bad' holds nan or inf"):
        tensors_of(["bad"], results)


def test_options() -> None:
    assert Options.of({"max_queue": 5}).for_batcher()["max_queue"] == 5
    with pytest.raises(RnnrtError, match=r"options \['queue'\] are not known"):
        Options.of({"queue": 5})


def ask(headers: dict[str, str], chunks: list[bytes], left: int = 0) -> tuple[int, bytes]:
    """What a server behind `Limits`, which gives back what it gets, answers; `left` chunks are not read."""
    sent: list[Any] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    messages = [{"type": "http.request", "body": c, "more_body": i + 1 < len(chunks)} for i, c in enumerate(chunks)]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()]}
    asyncio.run(Limits(echo, 10)(scope, receive, send))
    assert len(messages) == left
    return sent[0]["status"], sent[1]["body"]


def test_limits() -> None:
    assert ask({}, [b"01234", b"", b"56789"]) == (200, b"0123456789")
    for headers, chunks in (({"Content-Length": "11"}, [b""]), ({}, [b"01234", b"567890"])):
        status, body = ask(headers, chunks)
        assert status == 413
        assert json.loads(body) == {"error": "the body is larger than 10 bytes; send less at a time"}
    assert ask({"Content-Length": "60"}, [b"0123456789"] * 6, left=3)[0] == 413
    assert ask({"Content-Length": "60", "Expect": "100-continue"}, [b"0"], left=1)[0] == 413
    assert ask({"Content-Encoding": "gzip"}, [b"0"])[0] == 415
    status, body = ask({"Inference-Header-Content-Length": "5"}, [b"0"])
    assert status == 400
    assert b"binary_data=False" in body
