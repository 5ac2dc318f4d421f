"""What a process remembers of the layers and models it has made."""

from __future__ import annotations

from rnnrt.registry import reset_names


def clear_session(free_memory: bool = True) -> None:
    """Let the names of layers and models begin anew: lstm, lstm_1, and so on.

    Parameters
    ----------
    free_memory : bool
        Taken for Keras's sake; there is no memory but that of layers and models in use.
    """
    reset_names()
