"""Faults at every line, interrupts at every instruction, random signals, no memory, no stack.

`python -m tests.faults --help` shows how to inject more faults than the tests have time for.
"""
