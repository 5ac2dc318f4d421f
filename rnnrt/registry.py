"""What Keras's named objects have in common: a configuration, and names by which they are found."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rnnrt.errors import RnnrtError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Configurable",
    "CustomObjectScope",
    "Registry",
    "auto_name",
    "custom_object",
    "get_custom_objects",
    "register_keras_serializable",
    "reset_names",
    "snake_case",
]

_ENVELOPE = {"class_name", "config", "module", "registered_name", "build_config", "shared_object_id"}
_name_counts: dict[str, int] = {}
_registered: dict[str, Any] = {}
_scopes: ContextVar[tuple[Mapping[str, Any], ...]] = ContextVar("scopes", default=())


class CustomObjectScope:
    """Names for classes and functions of one's own, known to what is read within: ``with CustomObjectScope({...}):``.

    Parameters
    ----------
    custom_objects : mapping of str to object
        By the name that a file has: of the class, of the function, or "package>name" as Keras registers it.
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        if custom_objects is not None and not isinstance(custom_objects, Mapping):
            raise RnnrtError(f"custom_objects={custom_objects!r}: give a dict of names and classes or functions")
        bad = [name for name, value in (custom_objects or {}).items() if not callable(value)]
        if bad:
            raise RnnrtError(f"custom_objects: {bad} are no classes or functions; give what makes or computes them")
        self.custom_objects = dict(custom_objects or {})
        self._tokens: list[Any] = []

    def __enter__(self) -> CustomObjectScope:
        self._tokens.append(_scopes.set((self.custom_objects, *_scopes.get())))
        return self

    def __exit__(self, *error: object) -> None:
        _scopes.reset(self._tokens.pop())


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """A decorator that makes a class or function known to everything that is read, under "package>name"."""

    def register(item: Any) -> Any:
        _registered[f"{package}>{name or item.__name__}"] = item
        return item

    return register


def get_custom_objects() -> dict[str, Any]:
    """All that is registered, by name; what is put in is registered."""
    return _registered


def custom_object(*names: Any) -> Any:
    """What the innermost scope, or the register, has under one of the names; None where nobody has."""
    wanted = [n for n in names if isinstance(n, str)]
    wanted += [n.rpartition(">")[2] for n in wanted if ">" in n]
    for objects in (*_scopes.get(), _registered):
        for name in wanted:
            if name in objects:
                return objects[name]
    return None


def snake_case(name: str) -> str:
    """Keras's way from a class name to a lower one: SimpleRNN gives simple_rnn, Conv1D conv1d, PReLU p_re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(class_name: str) -> str:
    """A name that this process has not given yet: ``adam``, then ``adam_1``, and so on."""
    name = snake_case(class_name)
    count = _name_counts.get(name, 0)
    _name_counts[name] = count + 1
    return f"{name}_{count}" if count else name


def reset_names() -> None:
    """Let `auto_name` count from the beginning."""
    _name_counts.clear()


def _plain(value: Any) -> Any:
    """An argument in a configuration without the dictionaries by which Keras writes arrays and tuples."""
    if not isinstance(value, Mapping):
        return value
    if value.get("class_name") in ("__tensor__", "__numpy__"):
        return value["config"]["value"]
    return tuple(map(_plain, value["items"])) if value.get("class_name") == "__tuple__" else value


class Configurable:
    """An object that a dictionary of its constructor's arguments describes."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: plain values, ready for JSON."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an object from what `get_config` gave.

        Raises
        ------
        RnnrtError
            The configuration names an argument that the class does not take, or lacks one that it needs.
        """
        parameters = inspect.signature(cls).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            unknown = [name for name in config if name not in parameters]
            if unknown:
                raise RnnrtError(
                    f"{cls.__name__} takes no argument {', '.join(map(repr, unknown))}; "
                    f"it takes {', '.join(parameters) or 'none'}"
                )
        missing = [
            name
            for name, p in parameters.items()
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD and name not in config
        ]
        if missing:
            raise RnnrtError(f"the configuration of {cls.__name__} lacks {', '.join(map(repr, missing))}")
        return cls(**config)


class Registry:
    """Objects of one kind by name, with Keras's three words: get, serialize and deserialize.

    Parameters
    ----------
    kind : str
        What the objects are, in the plural, as Keras names their module: ``"initializers"``.
    classes : iterable of type
        Found by their names and by these in snake case.
    others : mapping of str to class or function
        Further names.
    ignore_case : bool
        Whether upper and lower case are the same, as for optimizers.
    """

    def __init__(
        self,
        kind: str,
        classes: tuple[type, ...],
        others: Mapping[str, Callable[..., Any]] | None = None,
        *,
        snake: bool = True,
        ignore_case: bool = False,
    ) -> None:
        self.kind = kind
        self._fold: Callable[[str], str] = str.lower if ignore_case else str
        self._objects: dict[str, Callable[..., Any]] = {self._fold(cls.__name__): cls for cls in classes}
        if snake:
            self._objects.update({snake_case(cls.__name__): cls for cls in classes})
        self._objects.update({self._fold(name): value for name, value in (others or {}).items()})
        self._own = frozenset(self._objects.values())

    def find(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The class or function of that name.

        Raises
        ------
        RnnrtError
            There is none; the message names close ones.
        """
        if custom_objects and name in custom_objects:
            return custom_objects[name]
        found = custom_object(name) or self._objects.get(self._fold(name))
        if found is None:
            from difflib import get_close_matches

            close = get_close_matches(self._fold(name), self._objects, n=3) or sorted(self._objects)
            raise RnnrtError(f"rnnrt.{self.kind} has no {name!r}; did you mean one of {', '.join(close)}?")
        return found

    def serialize(self, item: Any) -> dict[str, Any]:
        """A dictionary, in Keras's form, from which `deserialize` makes the same object."""
        if inspect.isfunction(item):
            return {
                "module": "builtins",
                "class_name": "function",
                "config": item.__name__,
                "registered_name": item.__name__,
            }
        if not hasattr(item, "get_config"):
            raise RnnrtError(f"{item!r} has no get_config() and cannot be saved in rnnrt.{self.kind}.serialize")
        cls = type(item)
        own = cls in self._own
        return {
            "module": f"keras.{self.kind}" if own else cls.__module__,
            "class_name": cls.__name__,
            "config": item.get_config(),
            "registered_name": None if own else cls.__name__,
        }

    def deserialize(self, config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The object that a name or a dictionary of `serialize` describes.

        Raises
        ------
        RnnrtError
            The name is unknown, or the dictionary says something that is not understood.
        """
        if isinstance(config, str):
            found = self.find(config, custom_objects)
            return found() if inspect.isclass(found) else found
        if "class_name" not in config:
            raise RnnrtError(f"a dictionary for rnnrt.{self.kind} needs 'class_name'; this one has {sorted(config)}")
        unknown = set(config) - _ENVELOPE
        if unknown:
            raise RnnrtError(f"a dictionary for rnnrt.{self.kind} has entries that mean nothing: {sorted(unknown)}")
        name, arguments = config["class_name"], config.get("config")
        if isinstance(arguments, Mapping):
            arguments = {key: _plain(value) for key, value in arguments.items()}
        if name == "function":
            return self.find(str(arguments), custom_objects)
        found = self.find(name, custom_objects)
        if not inspect.isclass(found):
            return found
        return found.from_config(arguments or {}) if hasattr(found, "from_config") else found(**(arguments or {}))

    def get(self, identifier: Any) -> Any:
        """An object from a name, a dictionary, a class, a function, or such an object itself; None stays None.

        Raises
        ------
        RnnrtError
            The identifier is none of these, or unknown.
        """
        if identifier is None:
            return None
        if isinstance(identifier, str | Mapping):
            return self.deserialize(identifier)
        if inspect.isclass(identifier):
            return identifier()
        if callable(identifier):
            return identifier
        raise RnnrtError(
            f"{identifier!r}, a {type(identifier).__name__}, is no name, dictionary or object for rnnrt.{self.kind}"
        )
