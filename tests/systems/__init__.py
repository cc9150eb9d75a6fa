"""Real systems: databases, locks, processes, sockets, threads and event loops."""
