"""From a graph with static shapes to a plan the executor can run."""

from rnnrt.plan.lower import Plan, lower
from rnnrt.plan.target import PackCache, Target

__all__ = ["PackCache", "Plan", "Target", "lower"]
