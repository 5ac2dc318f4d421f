"""Write the tables of docs/importing.md from what the code registers.

    python tools/make_import_tables.py           # after operators, layers or rules of reading have changed
    python tools/make_import_tables.py --check   # say whether they are as they should be

A table stands between two comments, `<!-- table: NAME -->` and `<!-- end -->`. Needs the onnx package, which knows
when each operator came.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parents[1] / "docs" / "importing.md"
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
_WIDTH = 118


def filled(text: str) -> str:
    """The page with every table made anew.

    Raises
    ------
    KeyError
        A comment names a table that there is not.
    """

    def table(match: re.Match[str]) -> str:
        return match[1] + "\n" + TABLES[match[2]]() + "\n" + match[3]

    return _BLOCK.sub(table, text)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _names(names: Iterable[str]) -> str:
    """A list in prose, folded."""
    lines, line = [], ""
    for name in sorted(names, key=str.lower):
        if len(line) + len(name) + 2 > _WIDTH:
            lines.append(line)
            line = ""
        line += f"{name}, "
    return "\n".join([*lines, line]).replace(", \n", ",\n").removesuffix(", ") + "."


def _operators() -> str:
    """Operators that ONNX files may hold: since when, how they run, whether gradients flow, their attributes."""
    from rnnrt.ops import get_operator, operator_names

    since, newest = _onnx_history()
    rows = []
    for name in operator_names():
        operator = get_operator(name)
        taken = [key if key in newest.get(name, ()) else f"*{key}*" for key in operator.attributes]
        missing = sorted(set(newest.get(name, ())) - set(operator.attributes) - _rewritten_attributes(name))
        rows.append((name, _since(name, since), _how(operator), _flow(operator), ", ".join(taken), ", ".join(missing)))
    return _rows(("operator", "opset", "runs", "training", "attributes", "not taken"), rows)


@functools.cache
def _onnx_history() -> tuple[dict[str, int], dict[str, list[str]]]:
    """The opset in which each operator came, and its attributes in the opset of the IR."""
    import onnx

    from rnnrt.ir import IR_OPSET

    since: dict[str, int] = {}
    newest: dict[str, tuple[int, list[str]]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            since[schema.name] = min(schema.since_version, since.get(schema.name, schema.since_version))
            if newest.get(schema.name, (0, []))[0] < schema.since_version <= IR_OPSET:
                newest[schema.name] = (schema.since_version, sorted(schema.attributes))
    return since, {name: attributes for name, (_, attributes) in newest.items()}


def _since(name: str, since: dict[str, int]) -> str:
    from rnnrt.formats.onnx_import import OLDEST_OPSET

    return f"{max(since.get(name, OLDEST_OPSET), OLDEST_OPSET)}+"


def _rewritten_attributes(name: str) -> set[str]:
    """Attributes that a rule of reading takes although the operator has none of the name."""
    from rnnrt.formats.onnx_upgrade import RULES, RawNode

    rule, (_, newest) = RULES.get(name), _onnx_history()
    taken = set()
    for key in newest.get(name, ()) if rule else ():
        for value in (1, 1.0, "NOTSET", np.ones(1, np.float32)):
            recorder = _Recorder()
            try:
                assert rule is not None
                rule(RawNode(name, ["x", "a", "b"], ["y"], {key: value}), 1 << 10, recorder)
            except Exception:  # the rule does not take a value of this type
                continue
            if not recorder.reasons and not any(key in attrs for _, attrs in recorder.nodes):
                taken.add(key)
    return taken


def _how(operator: Any) -> str:
    from rnnrt.ops.base import Operator
    from rnnrt.ops.control import Control, If

    if operator is If:
        return "planned"
    if issubclass(operator, Control):
        return "interpreted"
    return "hosted" if operator.lower.__func__ is Operator.lower.__func__ else "compiled"


def _flow(operator: Any) -> str:
    from rnnrt.ops.base import Flat, Operator
    from rnnrt.ops.control import Control

    if issubclass(operator, Flat):
        return "flat"
    without = (Operator.gradient.__func__, Control.gradient.__func__)  # type: ignore[attr-defined]
    return "no" if operator.gradient.__func__ in without else "yes"


class _Recorder:
    """What a rule of reading emits and refuses."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, dict[str, Any]]] = []
        self.reasons: list[str] = []

    def emit(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> None:
        self.nodes.append((op, attrs))

    def constant(self, array: Any, hint: str) -> str:
        return hint

    def fresh(self, hint: str) -> str:
        return hint

    def value_of(self, name: str) -> Any:
        return None

    def refuse(self, reason: str) -> None:
        self.reasons.append(reason)


def _rewritten() -> str:
    """Operators of ONNX that are read as others, or refused by a rule of their own."""
    from rnnrt.formats.onnx_sequence_rules import SEQUENCES
    from rnnrt.formats.onnx_upgrade import RULES, RawNode
    from rnnrt.ir import IR_OPSET
    from rnnrt.ops import is_readable

    rows = []
    for name in sorted(set(RULES)):
        if is_readable(name):
            continue
        if name in SEQUENCES:
            rows.append((name, "resolved into tensors while the file is read, where it does not depend on data"))
            continue
        recorder = _Recorder()
        RULES[name](RawNode(name, ["x"], ["y"]), IR_OPSET, recorder)
        read_as = ", ".join(dict.fromkeys(op for op, _ in recorder.nodes))
        rows.append((name, "; ".join(recorder.reasons) or f"read as {read_as}"))
    return _rows(("operator", "what becomes of it"), rows)


def _activations() -> str:
    """Activations of recurrent operators, with the defaults of alpha and beta."""
    from rnnrt.formats.onnx_recurrent import _PARAMETERS

    rows = [
        (name, *("" if value is None else f"{value:g}" for value in values))
        for name, values in sorted(_PARAMETERS.items())
    ]
    return _rows(("activation", "alpha", "beta"), rows)


def _layers() -> str:
    """Layers of Keras that are read, with the arguments that change what they compute."""
    from rnnrt.layers import LAYERS
    from rnnrt.layers.base import Layer

    common = set(inspect.signature(Layer.__init__).parameters)
    rows = []
    for name, layer in sorted(LAYERS.items()):
        own = [key for key in inspect.signature(layer).parameters if key not in {*common, "args", "kwargs"}]
        rows.append((name, ", ".join(key for key in own if not key.endswith(_TRAINING_ONLY))))
    return _rows(("layer", "arguments"), rows)


def _activation_names() -> set[str]:
    """Every name that activations have."""
    from rnnrt.layers.activations import _NODES, ALIASES, RECURRENT

    return {name for name in (*_NODES, *RECURRENT, *ALIASES) if name}


def _layer_activations() -> str:
    from rnnrt.layers.activations import is_known

    return _names(name for name in _activation_names() if is_known(name))


def _recurrent_activations() -> str:
    from rnnrt.layers.activations import is_recurrent

    return _names(name for name in _activation_names() if is_recurrent(name))


def _functions() -> str:
    from rnnrt.layers.operations import OPERATIONS

    return _names(OPERATIONS)


def _tensorflow_functions() -> str:
    from rnnrt.formats.keras_tf_functions import FUNCTIONS

    return _rows(("TensorFlow", "read as"), sorted(FUNCTIONS.items()))


def _refused_layers() -> str:
    from rnnrt.formats.keras_refused import table

    return table().rstrip("\n")


TABLES: dict[str, Callable[[], str]] = {
    "operators": _operators,
    "rewritten": _rewritten,
    "activations": _activations,
    "layers": _layers,
    "layer_activations": _layer_activations,
    "recurrent_activations": _recurrent_activations,
    "functions": _functions,
    "tensorflow_functions": _tensorflow_functions,
    "refused_layers": _refused_layers,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail where a table is not as it should be"
    )
    args = parser.parse_args()
    text = PAGE.read_text()
    made = filled(text)
    if args.check:
        if made != text:
            print(f"{PAGE}: its tables are not those of the code; run python tools/make_import_tables.py")
        return int(made != text)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
