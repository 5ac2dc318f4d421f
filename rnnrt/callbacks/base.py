"""The hooks of a callback, and the list that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rnnrt.errors import RnnrtError

Logs = dict[str, Any]
LazyLogs = Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None

BATCH_HOOKS = tuple(f"on_{mode}_batch_{edge}" for mode in ("train", "test", "predict") for edge in ("begin", "end"))
"""The hooks that run for every batch."""

HOOKS = (
    *(f"on_{mode}_{edge}" for mode in ("train", "test", "predict") for edge in ("begin", "end")),
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    *BATCH_HOOKS,
)
"""Every hook of a callback."""


class Callback:
    """Base of all callbacks; a subclass overrides the hooks it needs.

    Hooks get a dict `logs` with metrics as floats: for a batch those of the epoch so far, at an epoch's end the
    training's and, with the prefix ``val_``, the validation's. Epochs and batches count from 0.

    Attributes
    ----------
    params : dict
        `verbose`, `epochs` and `steps` (None while unknown) of the running call.
    model : Model
        The model that is trained. Callbacks here use of it `stop_training`, `optimizer.learning_rate`,
        `get_weights`, `set_weights`, `save`, `save_weights`, `training_state` and `restore_training_state`.
    """

    params: dict[str, Any] | None = None
    _model: Any = None

    takes_lazy_logs = False
    """Whether batch hooks take `logs` as a function that makes them, to be called only where they are used."""

    runs_first = False
    """Whether a list calls this one before all others: it adds to the logs that they read."""

    runs_last = False
    """Whether a list calls this one after all others: it saves what they leave behind."""

    def __init__(self) -> None:
        self.params = None
        self._model = None

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of the running call."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model; called before any hook."""
        self._model = model

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def uses(self, hook: str) -> bool:
        """Whether the hook does anything here: a batch without such hooks is not reported at all."""
        if self._overrides(hook):
            return True
        return hook.startswith("on_train_batch") and self._overrides(hook.replace("train_", ""))

    def _overrides(self, hook: str) -> bool:
        return hook in vars(self) or getattr(type(self), hook) is not getattr(Callback, hook)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run at the begin of an epoch of training."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run at the end of an epoch of training, after its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of training."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of training."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of evaluation or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of evaluation or validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of prediction."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run at the begin of `fit`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run at the end of `fit`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run at the begin of an evaluation or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run at the end of an evaluation or validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run at the begin of `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run at the end of `predict`."""


class CallbackList(Callback):
    """Callbacks under one roof: a hook of the list runs that hook of each, in order.

    Parameters
    ----------
    callbacks : Callback, iterable of Callback (nested is fine) or None
    add_history, add_progbar : bool
        Append a `History` or a `ProgressBar` where there is none yet.
    model : Model, optional
    **params
        What `set_params` of each callback gets: `verbose`, `epochs`, `steps`.

    Notes
    -----
    A loop asks `wants(hook)` once an epoch and leaves out batch hooks that no callback has. `logs` of a batch may be
    a function that makes them: it runs when the first callback needs them, and at most once a batch. Callbacks that
    add to the logs (`GradientMonitor`) run before all others, and those that save the training's state
    (`BackupAndRestore`) after them, so that they save what the others changed.

    Raises
    ------
    RnnrtError
        Something in the list is not a Callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        from rnnrt.callbacks.loggers import History
        from rnnrt.callbacks.progress import ProgressBar

        super().__init__()
        self.callbacks: list[Callback] = list(_flatten(callbacks))
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if add_progbar and not any(isinstance(c, ProgressBar) for c in self.callbacks):
            self.callbacks.append(ProgressBar())
        self.callbacks.sort(key=lambda callback: callback.runs_last - callback.runs_first)
        self._batch_hooks: dict[str, list[tuple[Callable[..., Any], bool]]] = {}
        self.set_model(model)
        self.set_params(params)

    def set_params(self, params: dict[str, Any]) -> None:
        """Hand the parameters to each callback, and find out anew which ones have hooks for batches."""
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)
        self._batch_hooks = {
            hook: [(getattr(c, hook), c.takes_lazy_logs) for c in self.callbacks if c.uses(hook)]
            for hook in BATCH_HOOKS
        }

    def set_model(self, model: Any) -> None:
        """Hand the model to each callback; its `history` becomes the list's."""
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def wants(self, hook: str) -> bool:
        """Whether any callback does something in a batch hook, such as ``"on_train_batch_end"``."""
        return bool(self._batch_hooks[hook])

    def uses(self, hook: str) -> bool:
        return self.wants(hook) if hook in self._batch_hooks else True

    def _on_batch(self, hook: str, batch: int, logs: LazyLogs) -> None:
        made: Logs | None = None
        for call, lazy in self._batch_hooks[hook]:
            if lazy and callable(logs):
                call(batch, logs=logs)
                continue
            if made is None:
                made = plain_logs(logs() if callable(logs) else logs)
            call(batch, logs=made)

    def on_batch_begin(self, batch: int, logs: LazyLogs = None) -> None:
        made = plain_logs(logs() if callable(logs) else logs)
        for callback in self.callbacks:
            callback.on_batch_begin(batch, logs=made)

    def on_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        made = plain_logs(logs() if callable(logs) else logs)
        for callback in self.callbacks:
            callback.on_batch_end(batch, logs=made)

    def on_train_batch_begin(self, batch: int, logs: LazyLogs = None) -> None:
        self._on_batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        self._on_batch("on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: LazyLogs = None) -> None:
        self._on_batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        self._on_batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: LazyLogs = None) -> None:
        self._on_batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: LazyLogs = None) -> None:
        self._on_batch("on_predict_batch_end", batch, logs)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        made = plain_logs(logs)
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, made)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        made = plain_logs(logs)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, made)

    def _on_edge(self, hook: str, logs: Mapping[str, Any] | None) -> None:
        made = plain_logs(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(made)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._on_edge("on_train_begin", logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._on_edge("on_train_end", logs)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._on_edge("on_test_begin", logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._on_edge("on_test_end", logs)

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._on_edge("on_predict_begin", logs)

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._on_edge("on_predict_end", logs)


def plain_logs(logs: Mapping[str, Any] | None) -> Logs:
    """A new dict in the order of names: nested dicts joined in, and values as Python floats where they are numbers."""
    plain: Logs = {}
    for name, value in sorted((logs or {}).items()):
        if isinstance(value, Mapping):
            plain.update(plain_logs(value))
            continue
        try:
            plain[name] = float(value)
        except (TypeError, ValueError):
            plain[name] = value
    return plain


def say(message: str) -> None:
    """Print a callback's message at once."""
    print(message, flush=True)


def _flatten(callbacks: Any) -> Iterable[Callback]:
    if callbacks is None:
        return
    if isinstance(callbacks, Callback):
        yield callbacks
    elif isinstance(callbacks, type) and issubclass(callbacks, Callback):
        raise RnnrtError(f"callbacks: {callbacks.__name__} is a class; make one of it: {callbacks.__name__}(...)")
    elif isinstance(callbacks, Iterable) and not isinstance(callbacks, str | bytes | Mapping):
        for callback in callbacks:
            yield from _flatten(callback)
    else:
        raise RnnrtError(
            f"callbacks: {callbacks!r:.80} is a {type(callbacks).__name__}; give objects of rnnrt.callbacks.Callback"
        )
