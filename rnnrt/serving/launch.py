"""Start MLServer with one model, until a signal ends it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rnnrt import __version__
from rnnrt.errors import RnnrtError
from rnnrt.serving.limits import Limits
from rnnrt.serving.options import Options

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


loads: list[RnnrtError | None] = []
"""How each load of a model in this process ended; MLServer itself writes failures to its log and ends in silence."""


@dataclass(frozen=True)
class Address:
    """Where the server listens: HTTP, gRPC, and HTTP for Prometheus."""

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 8081
    metrics_port: int = 8082


def serve(
    model: str | os.PathLike[str],
    name: str | None = None,
    address: Address | None = None,
    options: Options | None = None,
    max_body_bytes: int = 64 << 20,
) -> None:
    """Serve a file by the Open Inference Protocol until SIGINT or SIGTERM.

    Parameters
    ----------
    model : path-like
        As `rnnrt.load` takes it.
    name : str, optional
        What clients call it; by default the file's name without its ending.
    address : Address, optional
        By default loopback: the server asks nobody who they are.
    options : Options, optional
    max_body_bytes : int
        Larger requests are refused.

    Raises
    ------
    RnnrtError
        MLServer is not installed, the name does not suit a URL, a port is taken, or the model cannot be served.
    """
    if importlib.util.find_spec("mlserver") is None:
        raise RnnrtError('serving needs MLServer, which runs on Python 3.12 or older: pip install "rnnrt[serve]"')
    path = Path(model).absolute()
    name = path.stem if name is None else name
    if not _NAME.fullmatch(name):
        raise RnnrtError(f"{name!r} does not suit a URL; give a name of letters, digits, '.', '_' and '-'")
    address = address or Address()
    _check_ports(address)
    loads.clear()
    with tempfile.TemporaryDirectory(prefix="rnnrt-serve-") as folder:
        write_settings(Path(folder), path, name, address, options or Options(), max_body_bytes)
        asyncio.run(_run(Path(folder), max_body_bytes))
    if loads and loads[0] is not None:
        raise RnnrtError(f"{path}: cannot be served: {loads[0]}")


def _check_ports(address: Address) -> None:
    ports = {"port": address.port, "grpc_port": address.grpc_port, "metrics_port": address.metrics_port}
    if len(set(ports.values())) < len(ports):
        raise RnnrtError(f"{ports} must be three ports")
    for name, port in ports.items():
        try:
            family = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM)[0][0]
            socket.create_server((address.host, port), family=family).close()
        except OSError as error:
            raise RnnrtError(f"{name}={port} on {address.host}: {error.strerror or error}; give another") from None


def write_settings(
    folder: Path, model: Path, name: str, address: Address, options: Options, max_body_bytes: int
) -> None:
    """MLServer's settings.json and model-settings.json."""
    server = {
        "host": address.host,
        "http_port": address.port,
        "grpc_port": address.grpc_port,
        "metrics_port": address.metrics_port,
        "metrics_endpoint": "/metrics",
        "grpc_max_message_length": max_body_bytes,
        "parallel_workers": 0,
        "debug": False,
        "kafka_enabled": False,
        "cache_enabled": False,
        "server_name": "rnnrt",
        "server_version": __version__,
        "model_repository_root": str(folder),
    }
    served = {
        "name": name,
        "implementation": "rnnrt.serving.mlserver.RnnrtRuntime",
        "parameters": {"uri": str(model), "extra": asdict(options)},
    }
    (folder / "settings.json").write_text(json.dumps(server, indent=1))
    (folder / name).mkdir()
    (folder / name / "model-settings.json").write_text(json.dumps(served, indent=1))


async def _run(folder: Path, max_body_bytes: int) -> None:
    from mlserver import MLServer, Settings
    from mlserver.repository.factory import ModelRepositoryFactory

    settings = Settings(**json.loads((folder / "settings.json").read_text()))
    server = MLServer(settings)
    app = getattr(getattr(server, "_rest_server", None), "_app", None)
    if app is None:
        raise RnnrtError("this version of MLServer is put together in another way; install mlserver 1.6 or 1.7")
    app.add_middleware(Limits, max_bytes=max_body_bytes)
    models = await ModelRepositoryFactory.resolve_model_repository(settings).list()
    await server.start(models)
