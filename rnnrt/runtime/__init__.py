"""Running plans: sessions and streams."""

from rnnrt.runtime.session import Session
from rnnrt.runtime.stream import Stream

__all__ = ["Session", "Stream"]
