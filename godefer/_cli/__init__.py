"""The command line, ``python -m godefer``.

`command` parses the arguments, runs the subcommand and returns the exit status. It imports the
modules of a subcommand when that runs, since some are slow to import:

- ``demo``: `demo` has the functions that it shows, and the steps that run and check them. They are
  watched by `demo_watch`, and `demo_report` prints the results.
- ``explain``: `explain` finds a function, or all functions of a module, and prints how they run.
- ``check``: `godefer.lint` has the checker and its output formats.

`colours` decides whether `demo` and `explain` print colours. ``godefer/__main__.py`` calls
`command.main`.
"""
