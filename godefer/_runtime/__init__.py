"""The runtime: Go's ``runtime/panic.go`` in Python."""
