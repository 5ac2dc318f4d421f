"""`rnnrt serve`: a file behind the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import click
from rich.markup import escape

from rnnrt.cli.common import CONSTANT, MODEL, say
from rnnrt.models import load

_COUNT = click.IntRange(min=1)
_PORT = click.IntRange(1, 65535)


@click.command()
@MODEL
@click.option("--name", help="What clients call the model; by default the file's name without its ending.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Anyone who reaches it may use the server.")
@click.option("--port", type=_PORT, default=8080, show_default=True, help="For HTTP.")
@click.option("--grpc-port", type=_PORT, default=8081, show_default=True, help="For gRPC.")
@click.option("--metrics-port", type=_PORT, default=8082, show_default=True, help="For Prometheus, under /metrics.")
@click.option("--threads", type=_COUNT, help="Threads to use; by default all processors.")
@click.option("--max-batch", type=_COUNT, default=64, show_default=True, help="The most sequences of a batch.")
@click.option(
    "--max-delay-ms", type=click.FloatRange(min=0), default=2.0, show_default=True, help="Wait for more of a batch."
)
@click.option("--max-queue", type=_COUNT, default=1024, show_default=True, help="The most requests that wait.")
@click.option("--max-body-mb", type=_COUNT, default=64, show_default=True, help="The largest request, in MiB.")
@click.option(
    "--sequence-idle",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds after which a sequence without requests is dropped.",
)
@click.option("--max-sequences", type=_COUNT, default=4096, show_default=True, help="The most sequences at a time.")
@CONSTANT
def serve(
    model: str,
    name: str | None,
    host: str,
    port: int,
    grpc_port: int,
    metrics_port: int,
    threads: int | None,
    max_batch: int,
    max_delay_ms: float,
    max_queue: int,
    max_body_mb: int,
    sequence_idle: float,
    max_sequences: int,
    constants: dict[str, Any],
) -> None:
    """Serve MODEL over HTTP and gRPC (Open Inference Protocol V2) until a signal ends it. Needs rnnrt[serve].

    Sequences of clients share batches. A sequence may come in pieces: the request's parameters sequence_id,
    sequence_start and sequence_end say so, and its state is kept here between them.
    """
    from rnnrt.serving.launch import Address
    from rnnrt.serving.launch import serve as start
    from rnnrt.serving.options import Options

    load(model, constants=constants)  # what is wrong with the file is said here, before a server is up
    options = Options(
        threads=threads,
        constants={key: getattr(value, "tolist", lambda value=value: value)() for key, value in constants.items()},
        max_batch_size=max_batch,
        max_delay_ms=max_delay_ms,
        max_queue=max_queue,
        sequence_idle_seconds=sequence_idle,
        max_sequences=max_sequences,
    )
    say(f"[bold]serving[/] {escape(model)} on http://{host}:{port}, gRPC on {grpc_port}, metrics on {metrics_port}")
    start(model, name, Address(host, port, grpc_port, metrics_port), options, max_body_mb << 20)
