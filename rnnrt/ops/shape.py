"""Operators that move, cut and index."""
