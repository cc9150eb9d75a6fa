"""What the tests of all frameworks share."""
