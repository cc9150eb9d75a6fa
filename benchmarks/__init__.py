"""Measurements of the costs of godefer.

Run ``python -m pytest benchmarks/``, or ``python -m benchmarks.report``.
"""
