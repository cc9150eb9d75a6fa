"""Functions that belong to frameworks: decorated in the order that users write, and run by each framework's own test client."""
