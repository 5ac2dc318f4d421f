"""`rnnrt serve` from outside: plain JSON as KServe's users send it, tritonclient, and many clients at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnrt
from tests.serving.support import FEATURES, HIDDEN, OUT, network, sequences, written_out
from tests.support import assert_close

pytest.importorskip("mlserver")


class Server:
    """One that runs in a process of its own."""

    def __init__(self, model: Path, *options: str) -> None:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.port, self.grpc, self.metrics = (s.getsockname()[1] for s in sockets)
        for s in sockets:
            s.close()
        ports = ["--port", self.port, "--grpc-port", self.grpc, "--metrics-port", self.metrics]
        command = [sys.executable, "-m", "rnnrt", "serve", model, *ports, *options]
        environment = {**os.environ, "PYTHONPATH": str(Path(rnnrt.__file__).parents[1])}
        self.log = model.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(c) for c in command], env=environment, cwd=model.parent, stdout=log, stderr=subprocess.STDOUT
            )
        self.path = f"/v2/models/{model.stem}"
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                if self.ask(f"{self.path}/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        self.process.kill()
        raise AssertionError(self.log.read_text())

    def ask(self, path: str, body: Any = None, port: int | None = None, **headers: str) -> tuple[int, Any]:
        """Status and answer; the body is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", data, sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def infer(self, x: np.ndarray, **parameters: Any) -> tuple[int, Any]:
        tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.tolist()}
        return self.ask(f"{self.path}/infer", {"inputs": [tensor], "parameters": parameters})

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("served") / "tagger.rnnrt"
    network().save(path)
    running = Server(path, "--max-body-mb", "1", "--sequence-idle", "1000", "--max-sequences", "3")
    yield running
    assert running.stop() == 0, running.log.read_text()


def tensor_of(answer: Any, name: str) -> np.ndarray:
    (found,) = (o for o in answer["outputs"] if o["name"] == name)
    assert found["datatype"] == "FP32"
    return np.array(found["data"], np.float32).reshape(found["shape"])


def test_health_and_metadata(server: Server) -> None:
    assert server.ask("/v2/health/live")[0] == 200
    assert server.ask("/v2/health/ready")[0] == 200
    assert server.ask("/v2")[1]["name"] == "rnnrt"
    status, told = server.ask(server.path)
    assert (status, told["name"], told["platform"]) == (200, "tagger", "rnnrt")
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1, FEATURES]}]
    assert [o["name"] for o in told["outputs"]] == ["products", "state"]


def test_a_batch_as_plain_json(server: Server) -> None:
    xs = np.stack(sequences(7, 7, 7))
    status, answer = server.infer(xs)
    assert status == 200, answer
    products, state = (tensor_of(answer, name) for name in ("products", "state"))
    assert products.shape == (3, 7, OUT) and state.shape == (3, HIDDEN)
    for k in range(3):
        assert_close(products[k], written_out(xs[k])[0])
        assert_close(state[k], written_out(xs[k])[1])


def test_tritonclient(server: Server) -> None:
    client = pytest.importorskip("tritonclient.http")
    (x,) = sequences(12)
    with client.InferenceServerClient(f"127.0.0.1:{server.port}") as triton:
        assert triton.is_model_ready("tagger")
        assert triton.get_model_metadata("tagger")["inputs"][0]["shape"] == [-1, -1, FEATURES]
        parts = []
        for a, b in ((0, 5), (5, 12)):
            tensor = client.InferInput("x", [1, b - a, FEATURES], "FP32")
            tensor.set_data_from_numpy(x[None, a:b], binary_data=False)
            flags = {"sequence_id": 77, "sequence_start": a == 0, "sequence_end": b == 12}
            asked = [client.InferRequestedOutput("products", binary_data=False)] if a else None
            answer = triton.infer("tagger", [tensor], outputs=asked, timeout=60_000_000, **flags)
            parts.append(answer.as_numpy("products")[0])
        assert_close(np.concatenate(parts), written_out(x)[0])
        assert answer.as_numpy("state") is None
        tensor.set_data_from_numpy(x[None, 5:], binary_data=True)
        with pytest.raises(Exception, match="binary_data=False"):
            triton.infer("tagger", [tensor])


def test_grpc(server: Server) -> None:
    grpc = pytest.importorskip("grpc")
    from mlserver.grpc.dataplane_pb2 import ModelInferRequest
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

    (x,) = sequences(6)
    request = ModelInferRequest(model_name="tagger")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 6, FEATURES])
    tensor.contents.fp32_contents.extend(x.ravel().tolist())
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request, timeout=60)
        assert_close(np.array(answer.outputs[0].contents.fp32_contents).reshape(6, OUT), written_out(x)[0])
        tensor.shape[1] = 7
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request, timeout=60)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "does not fit the data" in refused.value.details()


def test_bad_requests_are_told_why(server: Server) -> None:
    (x,) = sequences(4)
    good = {"name": "x", "shape": [1, 4, FEATURES], "datatype": "FP32", "data": x.ravel().tolist()}
    infer = f"{server.path}/infer"
    for inputs, text in (
        ([{**good, "shape": [1, 5, FEATURES]}], "does not fit the data"),
        ([{**good, "shape": [2, 2, 5, 1]}], r"takes the shape [-1, -1, 5]"),
        ([{**good, "shape": [0, 4, FEATURES], "data": []}], "no row"),
        ([{**good, "shape": [1, 0, FEATURES], "data": []}], "at least one time step"),
        ([{**good, "datatype": "INT32"}], "datatype INT32"),
        ([{**good, "name": "y"}], "takes the inputs ['x']"),
        ([], "takes the inputs ['x']"),
    ):
        status, answer = server.ask(infer, {"inputs": inputs})
        assert status == 400
        assert text in answer["error"]
    for parameters, status, text in (
        ({"sequence_id": "nobody"}, 404, "is not known"),
        ({"sequence_end": True}, 400, "need a sequence_id"),
        ({"speed": 2}, 400, "['speed'] are not understood"),
    ):
        got, answer = server.infer(x[None], **parameters)
        assert (got, text in answer["error"]) == (status, True), answer
    assert server.ask("/v2/models/other/infer", {"inputs": [good]})[0] == 404
    assert server.ask(infer, b"{")[0] == 422
    assert server.ask(infer, {"inputs": [{**good, "datatype": "FP31"}]})[0] == 422
    status, answer = server.ask(infer, b" " * ((1 << 20) + 1))
    assert (status, answer["error"]) == (413, "the body is larger than 1048576 bytes; send less at a time")
    assert server.ask(infer, b"x", **{"Content-Encoding": "gzip"})[0] == 415
    assert server.infer(x[None])[0] == 200


def test_sequences_have_a_bound(server: Server) -> None:
    (x,) = sequences(2)
    statuses = [server.infer(x[None], sequence_id=k, sequence_start=True)[0] for k in (1, 2, 3, 4)]
    assert statuses == [200, 200, 200, 429]
    for k in (1, 2, 3):
        assert server.infer(x[None], sequence_id=k, sequence_end=True)[0] == 200


def test_many_clients_at_once(server: Server) -> None:
    """A bounded load: 8 clients, half of them tritonclient's, 25 requests each."""
    client = pytest.importorskip("tritonclient.http")
    wrong: list[Any] = []

    def plain(seed: int) -> None:
        for x in sequences(*np.random.default_rng(seed).integers(1, 40, 25), seed=seed):
            status, answer = server.infer(x[None])
            check(x, tensor_of(answer, "products")[0] if status == 200 else answer)

    def triton(seed: int) -> None:
        with client.InferenceServerClient(f"127.0.0.1:{server.port}") as connection:
            for x in sequences(*np.random.default_rng(seed).integers(1, 40, 25), seed=seed):
                tensor = client.InferInput("x", [1, *x.shape], "FP32")
                tensor.set_data_from_numpy(x[None], binary_data=False)
                check(x, connection.infer("tagger", [tensor]).as_numpy("products")[0])

    def check(x: np.ndarray, got: Any) -> None:
        if not isinstance(got, np.ndarray) or np.abs(got - written_out(x)[0]).max() > 1e-4:
            wrong.append(got)

    def call(one: Any, seed: int) -> None:
        try:
            one(seed)
        except Exception as error:
            wrong.append(error)

    before = finished(server)
    threads = [threading.Thread(target=call, args=((plain, triton)[k % 2], k)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert finished(server) - before == 200


def finished(server: Server) -> int:
    _, text = server.ask("/metrics", port=server.metrics)
    (line,) = (s for s in text.splitlines() if s.startswith('rnnrt_requests_total{model="tagger",outcome="finished"}'))
    for name in ("rnnrt_latency_seconds_bucket", "rnnrt_batch_size_count", "model_infer_request_success_total"):
        assert name in text
    return int(float(line.split()[-1]))


def test_a_model_that_cannot_be_served_ends_in_an_error(tmp_path: Path) -> None:
    """After the file was read; where MLServer alone would log the reason and end as if all were well."""
    path = tmp_path / "m.rnnrt"
    network().save(path)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    script = (
        "from rnnrt.serving.launch import Address, serve\nfrom rnnrt.serving.options import Options\n"
        f"serve({str(path)!r}, address=Address('127.0.0.1', *{ports}), options=Options(max_steps=12))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rnnrt.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "cannot be served: max_steps=12 must be a power of two" in done.stderr
