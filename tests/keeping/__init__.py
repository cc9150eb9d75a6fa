"""Functions whose exceptions are kept: for test_kept_exceptions.py."""
