"""Running plans: sessions, streams, and what a network is made of."""

from rnnrt.runtime.describe import NodeInfo, describe
from rnnrt.runtime.feeding import Source, stream_obstacles
from rnnrt.runtime.pool import Pool
from rnnrt.runtime.session import Session
from rnnrt.runtime.stream import Stream

__all__ = ["NodeInfo", "Pool", "Session", "Source", "Stream", "describe", "stream_obstacles"]
