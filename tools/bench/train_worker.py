"""One engine that trains, in a process of its own, possibly of another Python.

python tools/bench/train_worker.py ENGINE KIND THREADS ARRAYS.npz       as train.py starts it

Orders come in by lines of JSON on standard input, answers go out by lines on standard output. It needs numpy and the
engine alone.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from timing import times_of


class KerasLike:
    """Rnnrt and Keras: the same calls. With Keras, `jit_compile` is left at its default or forbidden."""

    def __init__(
        self, keras: Any, kind: str, data: dict[str, np.ndarray], own: dict[str, Any], **compile_: Any
    ) -> None:
        self.x, self.y = data["x"], data["y"]
        weights = [data[f"weight_{k}"] for k in range(8)]
        recurrent = getattr(keras.layers, kind)
        self.model = keras.Sequential(
            [
                keras.Input(self.x.shape[2:]),
                recurrent(len(weights[1]), return_sequences=True),
                recurrent(len(weights[4])),
                keras.layers.Dense(len(weights[7]), activation="softmax"),
            ],
            **own,
        )
        self.model.set_weights(weights)
        self.model.compile(optimizer="adam", loss="categorical_crossentropy", **compile_)
        self.at = 0

    def step(self) -> Any:
        """One update on the next batch."""
        k = self.at % len(self.x)
        self.at += 1
        return self.model.train_on_batch(self.x[k], self.y[k])

    def loss(self) -> float:
        """One update; the loss of its batch alone."""
        self.model.reset_metrics()
        return float(np.asarray(self.step()).reshape(-1)[0])

    def fit(self, batches: int) -> dict[str, float]:
        """Seconds of an epoch of `fit`, and of `train_on_batch` on slices of the same arrays."""
        rows = [k % len(self.x) for k in range(batches)]
        x, y = (np.concatenate([a[k] for k in rows]) for a in (self.x, self.y))
        size = self.x.shape[1]
        options = {"batch_size": size, "epochs": 1, "shuffle": False, "verbose": 0}
        self.model.fit(x[:size], y[:size], **options)
        start = time.perf_counter()
        self.model.fit(x, y, **options)
        middle = time.perf_counter()
        for k in range(0, len(x), size):
            self.model.train_on_batch(x[k : k + size], y[k : k + size])
        return {"fit": middle - start, "steps": time.perf_counter() - middle}


class Rnnrt(KerasLike):
    """What is measured."""

    def __init__(self, kind: str, threads: int, data: dict[str, np.ndarray]) -> None:
        import rnnrt

        super().__init__(rnnrt, kind, data, {"threads": threads})

    def profile(self, runs: int) -> dict[str, Any]:
        """Mean seconds of every instruction of the step's program, and of the optimizer's update after it."""
        trainer, x, y = self.model._trainer, self.x[0], self.y[0]
        program = trainer.program(True, [x])
        trainer._batch = [y], None
        parts = program.bound.profile([x], runs)
        update = times_of(lambda: trainer.optimizer.apply(trainer.gradients, trainer.parameters), 0, least=runs)
        return {"instructions": parts, "optimizer": float(np.mean(update)), "arena": program.bound.plan.arena_bytes}


class Keras(KerasLike):
    """Keras on TensorFlow."""

    def __init__(self, kind: str, threads: int, data: dict[str, np.ndarray], **compile_: Any) -> None:
        import keras

        super().__init__(keras, kind, data, {}, **compile_)


class Torch:
    """PyTorch's own modules, cross entropy and Adam, eager."""

    def __init__(self, kind: str, threads: int, data: dict[str, np.ndarray]) -> None:
        import torch

        sys.path.insert(0, str(Path(__file__).parents[1]))
        from torch_network import Adam, Network

        self.entropy = torch.nn.functional.cross_entropy
        self.network = Network(kind, [data[f"weight_{k}"] for k in range(8)])
        self.optimizer = Adam(self.network)
        self.x = [torch.from_numpy(x) for x in data["x"]]
        self.y = [torch.from_numpy(y.argmax(1)) for y in data["y"]]
        self.at = 0

    def loss(self) -> float:
        """One update on the next batch."""
        k = self.at % len(self.x)
        self.at += 1
        self.optimizer.zero_grad()
        loss = self.entropy(self.network(self.x[k]), self.y[k])
        loss.backward()
        self.optimizer.step()
        return loss.item()

    step = loss


def keras_without_xla(kind: str, threads: int, data: dict[str, np.ndarray]) -> Keras:
    """Keras on TensorFlow with jit_compile=False."""
    return Keras(kind, threads, data, jit_compile=False)


ENGINES = {"rnnrt": Rnnrt, "torch": Torch, "tensorflow": Keras, "tensorflow-nojit": keras_without_xla}


def begin(engine: str, threads: int) -> None:
    """Import the engine, and tell it how many threads it has; only then is memory counted."""
    if engine == "rnnrt":
        from rnnrt import layers, losses, models, optimizers  # noqa: F401
    elif engine == "torch":
        import torch

        torch.set_num_threads(threads)
    else:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        import keras  # noqa: F401


def peak_bytes(reset: bool = False) -> int:
    """The largest resident size so far, or since the last reset where the system can do that (Linux).

    A new process inherits ru_maxrss from the one that started it; Linux's VmHWM is the same figure without that.
    """
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(name: str, kind: str, threads: int, path: str) -> None:
    # What engines print must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    begin(name, threads)
    with np.load(path) as arrays:
        data = dict(arrays)
    before = peak_bytes(reset=True)
    engine = ENGINES[name](kind, threads, data)
    orders = {
        "losses": lambda count: [engine.loss() for _ in range(count)],
        "times": lambda seconds: times_of(engine.step, seconds, warm=1, least=1),
        "memory": lambda: peak_bytes() - before,
        "fit": lambda batches: engine.fit(batches),
        "profile": lambda runs: engine.profile(runs),
    }
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        answers.write(json.dumps({"answer": orders[order](*arguments)}) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
