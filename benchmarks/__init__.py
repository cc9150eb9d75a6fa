"""What godefer costs: run with pytest (``python -m pytest benchmarks/``), or with ``python -m benchmarks.report``."""
