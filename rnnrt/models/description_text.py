"""YAML and JSON as people write them: 1e-3 is a number, and a key stands once."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from rnnrt.errors import ModelFormatError, RnnrtError


def read_values(source: str) -> Any:
    """What a .json file says, or as YAML any other one.

    Raises
    ------
    ModelFormatError
        The file is missing, or not what it should be.
    RnnrtError
        PyYAML is not installed.
    """
    try:
        with open(source, encoding="utf-8") as file:
            text = file.read()
        return _json(text, source) if source.endswith(".json") else _yaml(text, source)
    except FileNotFoundError:
        raise ModelFormatError(f"{source}: no such file") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise ModelFormatError(f"{source}: is no description of a network: {error}") from None


def _json(text: str, source: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ModelFormatError(f"{source}: has the key {key!r} twice in one place; leave one of them")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except ModelFormatError:
        raise
    except ValueError as error:
        raise ModelFormatError(f"{source}: is not JSON: {error}") from None


def _yaml(text: str, source: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise RnnrtError(
            f'{source}: reading YAML needs PyYAML: pip install "rnnrt[train]"; or write the same as JSON'
        ) from None
    try:
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        raise ModelFormatError(f"{source}: is not YAML: {' '.join(str(error).split())}") from None


@cache
def _loader() -> Any:
    """The class that `yaml.load` takes: plain values alone, as of YAML 1.2 in what PyYAML reads otherwise."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, (list, dict)):
                    raise yaml.constructor.ConstructorError(None, None, "a key must be plain", key_node.start_mark)
                if key in seen:
                    problem = f"has the key {key!r} twice in one place; leave one of them"
                    raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
                seen.add(key)
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    # YAML 1.1 takes 1e-3, without a point, for text.
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )
    return Loader
