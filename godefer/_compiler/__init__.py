"""The compiler of open-coded functions; imported only when a function must be compiled."""
