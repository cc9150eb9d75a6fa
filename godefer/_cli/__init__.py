"""The command line: `command` reads it, and each subcommand has a module."""
