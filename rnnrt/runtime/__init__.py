"""Running plans: sessions, streams, and what a network is made of."""

from rnnrt.runtime.describe import NodeInfo, describe
from rnnrt.runtime.feeding import Source
from rnnrt.runtime.session import Session
from rnnrt.runtime.stream import Stream

__all__ = ["NodeInfo", "Session", "Source", "Stream", "describe"]
