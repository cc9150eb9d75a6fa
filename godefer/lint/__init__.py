"""The checker: mistakes with godefer that can be seen in the source.

``python -m godefer check PATH…`` is its command line, and flake8 finds `Flake8Plugin` by itself. It reads source and imports nothing of what it
checks. docs/checker.md explains each rule.

From names to output, each file builds on those before it: `_names` resolves names and imports, `_module` knows the statements and the functions that
they stand in, `_rules` holds the rules that fire only where it is certain, `_patterns` those that know a mistake by its pattern, `_check` visits a
module, `_files` reads files and their ``# noqa`` comments, `_output` prints, and `_flake8` is the plugin.
"""

from godefer.lint._check import RULES as RULES
from godefer.lint._files import Problem as Problem
from godefer.lint._files import check_source as check_source
from godefer.lint._flake8 import Flake8Plugin as Flake8Plugin

__all__ = ["RULES", "Flake8Plugin", "Problem", "check_source"]
