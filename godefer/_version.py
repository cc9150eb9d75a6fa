"""The version of godefer."""

__version__ = "0.1.0"
