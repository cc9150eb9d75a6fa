"""Fixtures that the tests of all frameworks share."""
