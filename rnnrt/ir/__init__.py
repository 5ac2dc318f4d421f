"""Graphs, nodes and values."""

from rnnrt.ir.graph import IR_OPSET, Dim, Graph, Node, Shape, Value, names_read, outer_names

__all__ = ["IR_OPSET", "Dim", "Graph", "Node", "Shape", "Value", "names_read", "outer_names"]
