"""Running plans: sessions, streams, and what a network is made of."""

from rnnrt.runtime.describe import NodeInfo, describe
from rnnrt.runtime.session import Session
from rnnrt.runtime.stream import Stream, stream_obstacles

__all__ = ["NodeInfo", "Session", "Stream", "describe", "stream_obstacles"]
