"""Decorated functions under frameworks, stacked as users write them.

Each framework's own test client runs them.
"""
