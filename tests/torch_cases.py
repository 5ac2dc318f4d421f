"""Networks of torch with the layers that rnnrt needs to be told; tests and the maker of fixtures share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnrt import torch as rt


@dataclass
class Case:
    """A module, what it computes of arrays, the same for rnnrt, and inputs. `options` go to rnnrt.load."""

    module: Any
    forward: Callable[..., Sequence[Any]]
    layers: list[Any]
    inputs: list[np.ndarray]
    options: dict[str, Any]


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def integers(*shape: int, below: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, below, shape)


def parts(nn: Any, **modules: Any) -> Any:
    return nn.ModuleDict(modules)


def selections(kind: str, batch_first: bool, bidirectional: bool, output: str) -> Callable[[Any], Case]:
    """A recurrent stack with states going in and coming out, and one of the ways to go on."""

    def make(torch: Any) -> Case:
        options = {"num_layers": 2, "batch_first": batch_first, "bidirectional": bidirectional}
        rnn = getattr(torch.nn, kind)(3, 5, **options)
        count = 4 if bidirectional else 2

        def forward(m: Any, x: Any, *states: Any) -> list[Any]:
            y, final = m.rnn(x, tuple(states) if kind == "LSTM" else states[0])
            final = final if kind == "LSTM" else (final,)
            last = y[:, -1] if batch_first else y[-1]
            h = final[0]
            chosen = {
                "sequence": y,
                "last_step": last,
                "last_hidden": h[-1],
                "both_hidden": torch.cat([h[-2], h[-1]], 1),
            }
            return [m.fc(chosen[output]), *final]

        layer = getattr(rt, kind)(
            "rnn",
            **options,
            output=output,
            hidden_size=5,
            input_size=3,
            bias=True,
            initial_states=True,
            return_states=True,
        )
        x = floats(4, 7, 3) if batch_first else floats(7, 4, 3)
        states = [floats(count, 4, 5), 0.5 * floats(count, 4, 5)][: 2 if kind == "LSTM" else 1]
        fc = torch.nn.Linear(5 if output == "last_hidden" or not bidirectional else 10, 2)
        return Case(parts(torch.nn, rnn=rnn, fc=fc), forward, [layer, rt.Linear("fc")], [x, *states], {})

    return make


def classifier(torch: Any) -> Case:
    """A classifier of texts: both directions' last states."""
    nn = torch.nn
    module = parts(
        nn, embed=nn.Embedding(20, 6, padding_idx=0), lstm=nn.LSTM(6, 4, 2, bidirectional=True, batch_first=True),
        norm=nn.LayerNorm(8), fc=nn.Linear(8, 3),
    )  # fmt: skip

    def forward(m: Any, x: Any) -> list[Any]:
        h = m.lstm(m.embed(x))[1][0]
        return [torch.softmax(m.fc(m.norm(torch.cat([h[-2], h[-1]], 1))), -1)]

    layers = [
        rt.Embedding("embed"), rt.LSTM("lstm", batch_first=True, output="both_hidden"), rt.LayerNorm("norm"),
        rt.Dropout(0.3), rt.Linear("fc"), rt.Softmax(),
    ]  # fmt: skip
    return Case(module, forward, layers, [integers(5, 9, below=20)], {})


def tied(torch: Any) -> Case:
    """A language model whose last layer has the weight of its first."""
    nn = torch.nn
    module = parts(nn, embed=nn.Embedding(12, 6), gru=nn.GRU(6, 6, batch_first=True), out=nn.Linear(6, 12, bias=False))
    module.out.weight = module.embed.weight
    layers = [rt.Embedding("embed"), rt.GRU("gru", batch_first=True), rt.Linear("out"), rt.LogSoftmax()]

    def forward(m: Any, x: Any) -> list[Any]:
        return [torch.log_softmax(m.out(m.gru(m.embed(x))[0]), -1)]

    return Case(module, forward, layers, [integers(3, 8, below=12)], {})


def projected(torch: Any) -> Case:
    """An LSTM whose outputs and recurrent inputs are projected."""
    module = parts(torch.nn, lstm=torch.nn.LSTM(3, 8, 2, bidirectional=True, proj_size=4))
    layers = [rt.LSTM("lstm", proj_size=4, hidden_size=8, num_layers=2)]
    return Case(module, lambda m, x: [m.lstm(x)[0]], layers, [floats(9, 2, 3)], {})


def projected_state(torch: Any) -> Case:
    """The last state of a projected LSTM."""
    module = parts(torch.nn, lstm=torch.nn.LSTM(3, 8, proj_size=4, bias=False))
    layers = [rt.LSTM("lstm", output="last_hidden", bias=False)]
    return Case(module, lambda m, x: [m.lstm(x)[1][0][-1]], layers, [floats(9, 2, 3)], {})


def convolutional(torch: Any) -> Case:
    """Convolutions over features first, then a recurrent layer over steps."""
    nn = torch.nn
    module = parts(
        nn, conv=nn.Conv1d(4, 6, 3, stride=2, padding=2, groups=2), bn=nn.BatchNorm1d(6), act=nn.PReLU(6),
        same=nn.Conv1d(6, 5, 4, padding="same", dilation=2, bias=False), one=nn.PReLU(),
        rnn=nn.RNN(5, 7, nonlinearity="relu", batch_first=True, bias=False), fc=nn.Linear(7, 2),
    )  # fmt: skip
    module.bn.running_mean.uniform_(-1, 1)
    module.bn.running_var.uniform_(0.5, 2)
    torch.nn.init.uniform_(module.act.weight, -1, 1)

    def forward(m: Any, x: Any) -> list[Any]:
        x = m.act(m.bn(m.conv(x)))
        x = m.one(m.same(torch.max_pool1d(x, 2)))
        return [m.fc(m.rnn(x.transpose(1, 2))[0][:, -1])]

    layers = [
        rt.Conv1d("conv", stride=2, padding=2, groups=2), rt.BatchNorm1d("bn"), rt.PReLU("act"), rt.MaxPool1d(2),
        rt.Conv1d("same", padding="same", dilation=2), rt.PReLU("one"), rt.Transpose(1, 2),
        rt.RNN("rnn", nonlinearity="relu", batch_first=True, bias=False, output="last_step"), rt.Linear("fc"),
    ]  # fmt: skip
    return Case(module, forward, layers, [floats(3, 4, 24)], {})


def pooled(torch: Any) -> Case:
    """Steps averaged, and activations of many kinds behind."""
    nn = torch.nn
    module = parts(nn, fc=nn.Linear(3, 6), gru=nn.GRU(6, 4), norm=nn.LayerNorm(4), out=nn.Linear(4, 2))
    names = ["GELU", "ELU", "LeakyReLU", "SiLU", "Softplus", "Hardtanh", "Mish", "SELU", "Softsign", "Hardsigmoid"]
    names += ["Hardswish", "LogSigmoid", "Tanh", "Sigmoid", "ReLU6", "ReLU"]

    def forward(m: Any, x: Any) -> list[Any]:
        x = m.norm(m.gru(torch.tanh(m.fc(x)))[0])
        for name in names:
            x = getattr(nn, name)()(x) - 0
        return [m.out(x)[-1]]

    layers = [rt.Linear("fc"), "Tanh", {"type": "GRU", "name": "gru"}, ("norm", {"type": "LayerNorm"})]
    layers += [{"type": name} for name in names]
    layers += [rt.Linear("out"), rt.Select(0, -1)]
    return Case(module, forward, layers, [floats(6, 3, 3)], {})


CASES: dict[str, Callable[[Any], Case]] = {
    "classifier": classifier,
    "convolutional": convolutional,
    "pooled": pooled,
    "projected": projected,
    "projected_state": projected_state,
    "tied": tied,
}
for _kind in ("LSTM", "GRU", "RNN"):
    for _first in (False, True):
        for _both in (False, True):
            for _output in ("sequence", "last_step", "last_hidden", *(["both_hidden"] if _both else [])):
                _ways = f"{'batch' if _first else 'time'}_{'both' if _both else 'one'}"
                CASES[f"{_kind}_{_ways}_{_output}"] = selections(_kind, _first, _both, _output)

RECORDED = ["classifier", "convolutional", "projected", "tied", "LSTM_time_both_both_hidden", "GRU_batch_one_sequence"]
"""Cases with files in tests/data/torch."""


def run(case: Case, torch: Any) -> list[np.ndarray]:
    """What torch gives."""
    with torch.no_grad():
        outputs = case.forward(case.module.eval(), *(torch.from_numpy(x) for x in case.inputs))
    return [y.numpy() for y in outputs]
