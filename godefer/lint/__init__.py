"""The checker: it finds mistakes with godefer in source code.

Its command line is ``python -m godefer check PATH…``, and flake8 loads `Flake8Plugin` by itself.
It reads source, and imports nothing of it. docs/checker.md has a table of the rules, with links to
their explanations.

Each file builds on those above it:

- `_tree` has helpers for nodes, and `_bindings` resolves names and imports.
- `_site` describes a statement of godefer, and `_module` finds them and the decorated functions,
  with the names in `_known`.
- `_resources` lists known functions that open and close, `_types` tells the constructor of a
  variable's value, and `_managers` tells context managers.
- `_suggest` builds the code of suggestions, and `_fix` turns them into edits.
- `_rules`, `_callees`, `_awaiting`, `_scopes`, `_results`, `_futures`, `_decorating`, `_order` and
  `_contexts` hold the rules that fire only where a mistake is certain. `_arguments`, `_openings`,
  `_gaps`, `_loops` and `_captures` hold those that match a pattern.
- `_check` visits a module. `_files` reads files and their ``# noqa`` comments.
- `_clean` remembers sources without problems, and `_settings` reads pyproject.toml.
- `_output` formats the problems, and `_flake8` is the plugin.
"""

from godefer.lint._check import RULES as RULES
from godefer.lint._files import Problem as Problem
from godefer.lint._files import check_source as check_source
from godefer.lint._flake8 import Flake8Plugin as Flake8Plugin

__all__ = ["RULES", "Flake8Plugin", "Problem", "check_source"]
