"""Faults: exceptions injected at every line, interrupts at every instruction, signals at random moments, no memory, no stack.

Run `python -m tests.faults --help` for more of them than the tests take time for.
"""
