"""Sessions over two shards behind Ray Serve, on this machine alone, beside streams of the same model."""

from __future__ import annotations

import itertools
import json
import socket
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from rnnrt.errors import RnnrtError, ShapeError, StateError
from rnnrt.ray import serve as sessions
from rnnrt.serving import UnknownSequenceError
from tests.ray.support import local_ray, recipe
from tests.serving.support import FEATURES, network, sequences, written_out

PIECES = (3, 1, 5, 2)


def test_a_sequence_has_one_shard_in_every_process():
    assert [sessions.shard_of(name, 5) for name in (7, "7")] == [2, 1]  # blake2b of int:7 and str:7, modulo 5
    counts = np.bincount([sessions.shard_of(i, 4) for i in range(4000)], minlength=4)
    assert counts.min() > 850


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"shards": 0}, "shards=0 must be a whole number above 0"),
        ({"routers": 1.5}, "routers=1.5 must be"),
        ({"max_sequence": 3}, r"options \['max_sequence'\] are not known"),
        ({"shard_options": {"num_replicas": 2}}, r"shard_options may not have \['num_replicas'\]"),
    ],
)
def test_arguments_that_are_not_understood(arguments, says):
    pytest.importorskip("ray.serve")
    with pytest.raises(RnnrtError, match=says):
        sessions.application("m.onnx", **arguments)


def test_a_network_that_takes_whole_sequences_has_no_sessions():
    with pytest.raises(
        StateError, match=r"takes whole sequences only, so that it has no sessions: LSTM node .* reverse"
    ):
        sessions.Shard(network(direction="reverse"), {})


REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1, 2], "data": [1, 2]}]}


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([1], "the request must be a JSON object, got list"),
        ({}, r"the request lacks \['inputs'\]"),
        ({**REQUEST, "input": 1}, r"has unknown \['input'\]"),
        ({**REQUEST, "parameters": 3}, "the request: parameters must be dict, got int"),
        ({"inputs": [{"name": "x"}]}, r"an input lacks \['data', 'datatype', 'shape'\]"),
        ({"inputs": [{**REQUEST["inputs"][0], "shape": [1.5]}]}, r"input 'x': shape \[1.5\] must be whole numbers"),
    ],
)
def test_requests_that_are_none(payload, says):
    with pytest.raises(ShapeError, match=says):
        sessions.as_request(payload)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The recipe's application on two shards: its handle, its address, and a model for streams beside it."""
    pytest.importorskip("ray.serve")
    model = network()
    path = tmp_path_factory.mktemp("model") / "m.rnnrt"
    model.save(path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with local_ray() as ray:
        from ray import serve

        serve.start(http_options={"host": "127.0.0.1", "port": port})
        try:
            handle = serve.run(recipe("ray_serve").made(str(path), 2, cpus=0.2), route_prefix="/v2/models/tagger")
            yield SimpleNamespace(
                ray=ray, handle=handle, model=model, address=f"http://127.0.0.1:{port}/v2/models/tagger"
            )
        finally:
            serve.shutdown()


def in_pieces(x):
    starts = np.cumsum((0, *PIECES))
    return [x[a:b] for a, b in itertools.pairwise(starts)]


def test_interleaved_sessions_give_what_streams_give(served):
    names = [1, 2, 3, 4, "1", "a", "b", "c"]
    assert {sessions.shard_of(name, 2) for name in names} == {0, 1}
    xs = dict(zip(names, sequences(*[sum(PIECES)] * 8), strict=True))
    streams = {name: served.model.stream() for name in names}
    for k in range(len(PIECES)):
        last = k == len(PIECES) - 1
        pieces = {name: in_pieces(xs[name])[k] for name in names}
        waiting = {n: served.handle.infer.remote(piece, n, start=k == 0, end=last) for n, piece in pieces.items()}
        for name, answer in waiting.items():
            products, state = answer.result(timeout_s=60)
            want = streams[name].run(pieces[name][None])
            np.testing.assert_array_equal(products, want[0][0])
            np.testing.assert_array_equal(state, want[1][0])
            if last:
                np.testing.assert_allclose(state, written_out(xs[name])[1], atol=1e-5)
    with pytest.raises(UnknownSequenceError, match="sequence 1 is not known"):
        served.handle.infer.remote(xs[1], 1).result(timeout_s=60)


def test_whole_sequences_need_no_name(served):
    xs = sequences(4, 9, 1)
    for x, answer in [(x, served.handle.infer.remote(x)) for x in xs]:
        np.testing.assert_allclose(answer.result(timeout_s=60)[1], written_out(x)[1], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"sequence_id": "never"}, UnknownSequenceError, "sequence 'never' is not known: it was never started"),
        ({"sequence_id": 1.5}, ShapeError, "sequence_id=1.5 must be a whole number or a text"),
        ({"start": True}, ShapeError, "start and end need a sequence_id"),
        (
            {"sequence_id": 9, "start": True, "x": np.zeros((2, 4))},
            ShapeError,
            r"has shape \(None, 5\) .* got \(2, 4\)",
        ),
    ],
)
def test_errors_come_back_as_they_were_raised(served, arguments, error, says):
    with pytest.raises(error, match=says):
        served.handle.infer.remote(**{"x": np.zeros((2, FEATURES), np.float32), **arguments}).result(timeout_s=60)


def ask(url, payload=None):
    data = payload if payload is None or isinstance(payload, bytes) else json.dumps(payload).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def piece(rows, **parameters):
    rows = np.asarray(rows)
    tensor = {"name": "x", "datatype": "FP32", "shape": rows.shape, "data": rows.ravel().tolist()}
    return {"id": "q", "inputs": [tensor], "parameters": parameters, "outputs": [{"name": "state"}]}


def test_the_protocol_over_http(served):
    xs = np.stack(sequences(*[sum(PIECES)] * 2))  # two rows by one name
    url = f"{served.address}/infer"
    for k, (a, b) in enumerate(zip(in_pieces(xs[0]), in_pieces(xs[1]), strict=True)):
        request = piece([a, b], sequence_id="pair", sequence_start=k == 0, sequence_end=k == len(PIECES) - 1)
        status, answer = ask(url, request)
        assert status == 200, answer
    assert (answer["model_name"], answer["id"]) == ("tagger", "q")
    (state,) = answer["outputs"]
    assert (state["name"], state["datatype"]) == ("state", "FP32")
    got = np.reshape(state["data"], state["shape"])
    np.testing.assert_allclose(got, [written_out(x)[1] for x in xs], atol=1e-5)


def test_http_says_what_is_wrong(served):
    url, x = f"{served.address}/infer", sequences(2)[0][None]
    status, answer = ask(url, piece(x, sequence_id=12345))
    assert status == 404 and "sequence 12345 is not known" in answer["error"]
    assert ask(url, b"{")[0] == 400
    status, answer = ask(url, piece(x[:, :, :3]))
    assert status == 400 and "takes the shape [-1, -1, 5]" in answer["error"]
    status, answer = ask(f"{served.address}/other", piece(x))
    assert status == 404 and "there is GET /, GET /ready and POST /infer" in answer["error"]
    assert ask(f"{served.address}/ready") == (200, {"name": "tagger", "ready": True})
    status, answer = ask(served.address)
    assert status == 200 and answer["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1, 5]}]


def test_a_session_is_not_known_any_more_when_its_shard_was_killed(served):
    x = sequences(2)[0]
    served.handle.infer.remote(x, "mine", start=True).result(timeout_s=60)
    url = f"{served.address}/infer"
    names = served.ray.util.list_named_actors(all_namespaces=True)
    (place,) = [n for n in names if f"#shard-{sessions.shard_of('mine', 2)}#" in n["name"]]
    served.ray.kill(served.ray.get_actor(place["name"], place["namespace"]))
    until = time.monotonic() + 90
    while time.monotonic() < until:
        status, answer = ask(url, piece(x[None], sequence_id="mine"))
        if status == 404:
            break
        assert status == 503, answer
        time.sleep(0.5)
    assert status == 404 and "sequence 'mine' is not known" in answer["error"]
    served.handle.infer.remote(x, "mine", start=True).result(timeout_s=60)
