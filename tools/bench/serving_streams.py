"""What `serving.py` measures beside the batcher: a pool of streams against one wide stream, and a server over HTTP."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

import rnnrt
from rnnrt.models import Model

CLIENTS = 8
BLOCK = 100
"""Steps of one turn."""


def pool_figures(model: Model, rows: int, seconds: float) -> dict[str, float]:
    """Microseconds of a step of `rows` streams out of a pool in changing order, and of one stream of that batch."""
    shape = model.inputs[0].shape
    assert shape is not None and isinstance(shape[2], int)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, shape[2])).astype(np.float32)
    stream, pool = model.stream(rows), rnnrt.StreamPool(model, capacity=2 * rows)
    ids = [pool.open() for _ in range(2 * rows)]
    orders = [[ids[k] for k in rng.permutation(2 * rows)[:rows]] for _ in range(16)]
    found: dict[str, list[float]] = {"stream": [], "pool": []}
    end, turn = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for name in found:
            start = time.perf_counter()
            for k in range(BLOCK):
                if name == "stream":
                    stream.step(x)
                else:
                    pool.step(orders[(turn + k) % 16], x)
            found[name].append((time.perf_counter() - start) / BLOCK)
        turn += 1
    plain, pooled = (1e6 * statistics.median(found[name]) for name in ("stream", "pool"))
    return {"streams": rows, "stream_us": plain, "pool_us": pooled, "share": plain / pooled}


def pool_memory(model: Model, streams: int) -> dict[str, float]:
    """Bytes of a pool of so many streams, and what opening them adds to the process."""
    pool = rnnrt.StreamPool(model, capacity=256)
    before = _resident()
    ids = [pool.open() for _ in range(streams)]
    shape = model.inputs[0].shape
    assert shape is not None and isinstance(shape[2], int)
    pool.step(ids[:256], np.zeros((256, shape[2]), np.float32))
    return {"streams": streams, "state_bytes": pool.nbytes, "grown_bytes": _resident() - before}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def server_figures(model: Model, xs: list[np.ndarray], seconds: float) -> dict[str, float] | None:
    """Requests a second of `rnnrt serve` on loopback with 8 clients, and their latency; None without mlserver."""
    if importlib.util.find_spec("mlserver") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.rnnrt"
        model.save(path)
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [str(s.getsockname()[1]) for s in sockets]
        for s in sockets:
            s.close()
        named = [part for pair in zip(("--port", "--grpc-port", "--metrics-port"), ports, strict=True) for part in pair]
        process = subprocess.Popen(
            [sys.executable, "-m", "rnnrt", "serve", str(path), *named],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = f"http://127.0.0.1:{ports[0]}/v2/models/model"
            _wait_for(f"{address}/ready")
            return _under_load(f"{address}/infer", model.inputs[0].name, xs, seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_for(address: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{address} does not answer")


def _under_load(address: str, name: str, xs: list[np.ndarray], seconds: float) -> dict[str, float]:
    bodies = [json.dumps({"inputs": [_tensor(name, x[None])]}).encode() for x in xs]
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        k = number
        while time.perf_counter() < end:
            start = time.perf_counter()
            request = urllib.request.Request(address, bodies[k % len(bodies)], {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
            latencies.append(time.perf_counter() - start)
            k += CLIENTS

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = sorted(latencies)
    return {
        "per_second": len(kept) / seconds,
        "p50_ms": 1e3 * kept[len(kept) // 2],
        "p99_ms": 1e3 * kept[min(int(len(kept) * 0.99), len(kept) - 1)],
    }


def _tensor(name: str, x: np.ndarray) -> dict[str, Any]:
    return {"name": name, "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
