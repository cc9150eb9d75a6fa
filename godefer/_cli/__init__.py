"""The command line, ``python -m godefer``.

`command` parses the arguments, runs the subcommand and returns the exit status. Some modules are
slow to import, so it imports those of a subcommand when the subcommand runs:

- ``demo``: `demo` has the functions to show, and the steps that run and check them. `demo_watch`
  watches the functions, and `demo_report` prints the results.
- ``explain``: `explain` finds a function, or all functions of a module, and writes how they run.
- ``check``: `check` has the options, and `godefer.lint` the checker and its output formats.
- ``compile``: `compile` writes the cache files of modules that are not imported.

`colours` decides whether `demo` and `explain` print colours. ``godefer/__main__.py`` calls
`command.main`.
"""
