"""Latency and throughput of a server of sequences at several arrival rates: rnnrt's batcher beside the usual ways.

python tools/bench/serving.py --json serving.json --plot serving.png
python tools/bench/serving.py MODEL --rates 100,200,400 --seconds 5
python tools/bench/serving.py --tiny            outputs compared, nothing measured, as CI runs it

Requests arrive by a Poisson process whether or not the ones before are answered, and latencies count from the time of
arrival. The other ways are one request at a time, and padded batches: those that wait, at most for two milliseconds,
are padded to the longest and run together. All three see the same requests.

Then a step of 256 streams of a pool beside one stream of that batch, the memory of 10,000 streams, and, where mlserver
is installed, `rnnrt serve` with 8 clients that send one request after the other.
"""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from serving_streams import pool_figures, pool_memory, server_figures

from rnnrt.ir import Graph, Node, Value
from rnnrt.models import Model, load
from rnnrt.serving import Batcher

LOADS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Arrival rates, over what one request at a time can do."""
DELAY = 2e-3
"""How long a padded batch waits for more requests, in seconds."""
MAX_BATCH = 64

Submit = Callable[[np.ndarray], "Future[Any]"]


class PaddedBatches:
    """Batches of what waits, padded with zeros behind; exact for networks that read forwards and give every step."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._queue: queue.Queue[tuple[np.ndarray, Future[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, x: np.ndarray) -> Future[Any]:
        future: Future[Any] = Future()
        self._queue.put((x, future))
        return future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, end = [first], time.perf_counter() + DELAY
            while len(batch) < MAX_BATCH:
                try:
                    more = self._queue.get(timeout=max(end - time.perf_counter(), 0))
                except queue.Empty:
                    break
                if more is None:
                    self._queue.put(None)
                    break
                batch.append(more)
            live = [(x, future) for x, future in batch if future.set_running_or_notify_cancel()]
            if not live:
                continue
            rows = power_of_two(len(live))  # few plans, as the batcher makes
            steps = power_of_two(max(len(x) for x, _ in live))
            padded = np.zeros((rows, steps, *live[0][0].shape[1:]), np.float32)
            for row, (x, _) in zip(padded, live, strict=False):
                row[: len(x)] = x
            y = self._model(padded)
            for row, (x, future) in zip(y, live, strict=False):
                future.set_result(row[: len(x)].copy())


class OneAtATime:
    """A thread that answers one request after the other."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pool = ThreadPoolExecutor(1)

    def submit(self, x: np.ndarray) -> Future[Any]:
        return self._pool.submit(lambda: self._model(x[None])[0])

    def close(self) -> None:
        self._pool.shutdown()


def servers(model: Model, lengths: tuple[int, int]) -> dict[str, Any]:
    """Each with plans of its own, made before anything is measured."""
    batcher = Batcher(model, max_batch_size=MAX_BATCH, max_queue=1 << 20)
    batcher.warm_up()
    padded, alone = Model.from_graph(model.graph), Model.from_graph(model.graph)
    shape = model.inputs[0].shape
    assert shape is not None
    for steps in {power_of_two(n) for n in grid(lengths)}:
        for rows in (1 << k for k in range(MAX_BATCH.bit_length())):
            padded(np.zeros((rows, steps, shape[2]), np.float32))
    for steps in grid(lengths):
        alone(np.zeros((1, steps, shape[2]), np.float32))
    return {"rnnrt batcher": batcher, "padded batches": PaddedBatches(padded), "one at a time": OneAtATime(alone)}


def power_of_two(number: int) -> int:
    """The next one."""
    return 1 << (number - 1).bit_length()


def tagger(features: int, hidden: int) -> Model:
    """Two LSTM layers and a Dense one, every step given."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / math.sqrt(shape[-1])).astype(np.float32)

    constants: dict[str, np.ndarray] = {"D": weights(hidden, 8), "axis": np.array([2])}
    nodes, last, width = [], "x", features
    for k in range(2):
        constants |= {f"W{k}": weights(1, 4 * hidden, width), f"R{k}": weights(1, 4 * hidden, hidden)}
        nodes.append(
            Node("LSTM", (last, f"W{k}", f"R{k}"), (f"h{k}",), {"hidden_size": hidden, "layout": 1}, f"lstm{k}")
        )
        nodes.append(Node("Squeeze", (f"h{k}", "axis"), (f"s{k}",)))
        last, width = f"s{k}", hidden
    nodes.append(Node("MatMul", (last, "D"), ("y",)))
    value = Value("x", np.dtype("float32"), (None, None, features))
    return Model.from_graph(Graph((value,), (Value("y", np.dtype("float32")),), tuple(nodes), constants))


def lstm(features: int, hidden: int) -> Model:
    """One LSTM layer, every step given."""
    from rnnrt import layers

    x = layers.Input(shape=(None, features))
    return Model(x, layers.LSTM(hidden, return_sequences=True)(x))


def grid(lengths: tuple[int, int]) -> list[int]:
    """Lengths between two; so few that all their plans are kept."""
    return sorted({round(n) for n in np.geomspace(*lengths, 24)})


def requests(model: Model, lengths: tuple[int, int], count: int) -> list[np.ndarray]:
    """Sequences whose lengths are spread evenly over the logarithm between two."""
    shape = model.inputs[0].shape
    if len(model.inputs) != 1 or len(model.outputs) != 1 or shape is None or len(shape) != 3 or shape[2] is None:
        raise click.ClickException("the network must take (batch, time, features) and give every step of one output")
    rng = np.random.default_rng(1)
    return [rng.standard_normal((n, shape[2])).astype(np.float32) for n in rng.choice(grid(lengths), count)]


def capacity(model: Model, xs: list[np.ndarray], seconds: float) -> float:
    """Requests a second, one after the other; every length has been run once before."""
    for x in {len(x): x for x in xs}.values():
        model(x[None])
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        model(xs[done % len(xs)][None])
        done += 1
    return done / spent


def at_rate(submit: Submit, xs: list[np.ndarray], rate: float, seconds: float) -> dict[str, float]:
    """Send requests for so long, wait as long again at most for the answers, and take the figures."""
    rng = np.random.default_rng(2)
    arrivals = np.cumsum(rng.exponential(1 / rate, max(int(rate * seconds), 1)))
    latencies: list[float] = []
    futures = []
    start = time.perf_counter()

    def answered(future: Future[Any], arrival: float) -> None:
        if not future.cancelled() and future.exception() is None:
            latencies.append(time.perf_counter() - start - arrival)

    for k, arrival in enumerate(arrivals):
        while (left := start + arrival - time.perf_counter()) > 0:
            time.sleep(left)
        future = submit(xs[k % len(xs)])
        future.add_done_callback(lambda f, arrival=arrival: answered(f, arrival))
        futures.append(future)
    wait(futures, timeout=max(2 * seconds - (time.perf_counter() - start), 0))
    spent = time.perf_counter() - start
    late = [future for future in futures if not future.done()]
    for future in late:
        future.cancel()
    for future in late:
        try:
            future.result()
        except CancelledError:
            continue
    kept = sorted(latencies[: len(futures) - len(late)])
    figures = {
        f"p{q}_ms": 1e3 * kept[min(int(len(kept) * q / 100), len(kept) - 1)] if kept else math.nan for q in (50, 99)
    }
    return {"rate": rate, **figures, "per_second": len(kept) / spent, "unanswered": len(late), "sent": len(futures)}


def compare(model: Model, xs: list[np.ndarray], lengths: tuple[int, int]) -> float:
    """The largest difference of any way from the model itself."""
    worst = 0.0
    for server in servers(model, lengths).values():
        futures = [server.submit(x) for x in xs]
        for x, future in zip(xs, futures, strict=True):
            worst = max(worst, float(np.abs(future.result() - model(x[None])[0]).max()))
        server.close()
    return worst


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Latency and throughput over the arrival rate."""
    from plots import COLOURS, ENGINES, panels, save

    figure, (left, right) = panels(11, 4.2, 2)
    names = list(dict.fromkeys(row["server"] for row in rows))
    for name, engine in zip(names, ENGINES, strict=False):
        mine = [row for row in rows if row["server"] == name]
        rates = [row["rate"] for row in mine]
        left.plot(rates, [row["p50_ms"] for row in mine], "o-", color=COLOURS[engine], label=f"{name}, p50")
        left.plot(rates, [row["p99_ms"] for row in mine], "o--", color=COLOURS[engine], label=f"{name}, p99")
        right.plot(rates, [row["per_second"] for row in mine], "o-", color=COLOURS[engine], label=name)
    right.plot(rates, rates, color="black", linewidth=0.8, label="all that arrive")
    left.set_yscale("log")
    for ax, label in ((left, "latency (ms)"), (right, "answers a second")):
        ax.set_xlabel("requests a second")
        ax.set_ylabel(label)
        ax.legend(fontsize=8, frameon=False)
    save(figure, path)


def more_figures(network: Model, xs: list[np.ndarray], seconds: float) -> dict[str, dict[str, float]]:
    """Of a pool of streams of one LSTM, and of a server of the network."""
    layer = lstm(64, 128)
    found = {"pool": pool_figures(layer, 256, seconds), "pool memory": pool_memory(layer, 10_000)}
    over_http = server_figures(network, xs, 2 * seconds)
    return found if over_http is None else {**found, "server": over_http}


@click.command()
@click.argument("model", type=click.Path(), required=False)
@click.option("--rates", help="Requests a second, as in 100,200; by default multiples of what one at a time can do.")
@click.option("--lengths", type=(int, int), default=(5, 200), show_default=True, help="Shortest and longest sequence.")
@click.option("--seconds", default=3.0, show_default=True, help="Of arrivals, for each rate and way.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Where the figures go.")
@click.option("--plot", type=click.Path(path_type=Path), help="Where the curve goes (.png).")
@click.option("--tiny", is_flag=True, help="Compare outputs only.")
def main(
    model: str | None,
    rates: str | None,
    lengths: tuple[int, int],
    seconds: float,
    out: Path | None,
    plot: Path | None,
    tiny: bool,
) -> None:
    """Compare ways to serve MODEL, by default two LSTM layers of 256 units."""
    network = load(model) if model else tagger(*((6, 10) if tiny else (64, 256)))
    xs = requests(network, lengths, 40 if tiny else 200)
    worst = compare(network, xs[:40], lengths)
    if not worst < 1e-4:
        raise click.ClickException(f"outputs differ by {worst:.1e}")
    if tiny:
        click.echo(f"outputs agree within {worst:.1e}")
        return
    one = capacity(network, xs, min(seconds, 2.0))
    chosen = [float(r) for r in rates.split(",")] if rates else [load * one for load in LOADS]
    rows = []
    running = servers(network, lengths)
    for rate in chosen:
        for name, server in running.items():
            rows.append({"server": name, **at_rate(server.submit, xs, rate, seconds)})
    for server in running.values():
        server.close()
    table = Table("requests/s", "", "p50 ms", "p99 ms", "answers/s", "unanswered")
    for row in rows:
        figures = [f"{row[key]:.1f}" for key in ("p50_ms", "p99_ms", "per_second")]
        table.add_row(f"{row['rate']:.0f}", row["server"], *figures, f"{row['unanswered']} of {row['sent']}")
    Console().print(table)
    more = more_figures(network, xs, seconds)
    for name, figures in more.items():
        click.echo(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    if out:
        out.write_text(json.dumps({"one_at_a_time": one, "lengths": lengths, "rows": rows, **more}, indent=1))
    if plot:
        draw(rows, plot)


if __name__ == "__main__":
    main()
