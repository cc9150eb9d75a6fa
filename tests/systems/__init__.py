"""Real systems: databases, locks, processes, sockets, threads, and the event loops that godefer's users run on."""
