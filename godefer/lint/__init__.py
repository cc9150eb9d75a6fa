"""The checker: it finds mistakes with godefer in source code.

Its command line is ``python -m godefer check PATH…``. flake8 loads `Flake8Plugin` by itself. The
checker reads source code and never imports it. docs/checker.md has a table of the rules, with links
to their explanations.

Each file builds on files above it:

- `_tree` has helpers for syntax tree nodes. `_bindings` resolves names and imports.
- `_site` describes a statement of godefer. `_known` lists names of libraries. `_module` finds the
  statements and the decorated functions.
- `_resources` lists functions that open and close. `_types` finds the constructor of a variable's
  value. `_managers` recognizes context managers.
- `_suggest` builds the code of suggestions, and `_fix` turns it into edits.
- `_rules`, `_callees`, `_uncalled`, `_scopes`, `_awaiting`, `_results`, `_futures`, `_decorating`,
  `_order` and `_contexts` hold rules that need a certain mistake, or a name that leaves no doubt.
- `_arguments`, `_gaps`, `_openings`, `_loops` and `_captures` hold rules that match a pattern.
- `_check` visits a module. `_settings` reads pyproject.toml. `_files` reads files and their
  ``# noqa`` comments.
- `_clean` remembers sources without problems. `_output` formats problems. `_flake8` is the plugin.
"""

from godefer.lint._check import RULES as RULES
from godefer.lint._files import Problem as Problem
from godefer.lint._files import check_source as check_source
from godefer.lint._flake8 import Flake8Plugin as Flake8Plugin

__all__ = ["RULES", "Flake8Plugin", "Problem", "check_source"]
