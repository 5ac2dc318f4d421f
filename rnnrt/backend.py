"""Keras's backend, as far as programs that build models ask for it."""

from rnnrt.utils.session import clear_session

__all__ = ["clear_session"]
