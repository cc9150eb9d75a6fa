"""The plugin for flake8, which finds it by the entry point ``flake8.extension``."""

from __future__ import annotations

from godefer import __version__
from godefer.lint._check import check_tree
from godefer.lint._fix import characters

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Sequence


class Flake8Plugin:
    r"""The plugin for flake8, which makes one for each file.

    Args:
        tree: The module.
        lines: Its lines.

    Example:
        >>> import ast
        >>> from godefer.lint import Flake8Plugin
        >>> source = "from godefer import defer\ndefer(print)\n"
        >>> plugin = Flake8Plugin(ast.parse(source), source.splitlines())
        >>> for line, column, message, _ in plugin.run():
        ...     print(line, column, message.split()[0])
        2 0 GDF002
    """

    name = "godefer"
    version = __version__

    def __init__(self, tree: ast.Module, lines: Sequence[str]) -> None:
        self.tree = tree
        self.lines = lines

    def run(self) -> Iterator[tuple[int, int, str, type[Flake8Plugin]]]:
        r"""Yield the findings as flake8 expects them.

        Columns count from 0, and the message begins with the code.

        Yields:
            The line, the column, the message, and this class.

        Example:
            >>> import ast
            >>> from godefer.lint import Flake8Plugin
            >>> source = "import godefer\ngodefer.defer(print)\n"
            >>> plugin = Flake8Plugin(ast.parse(source), source.splitlines())
            >>> [(line, column) for line, column, *_ in plugin.run()]
            [(2, 0)]
        """
        for finding in check_tree(self.tree):
            line = getattr(finding.node, "lineno", 1)
            column = characters(self.lines, line, getattr(finding.node, "col_offset", 0))
            yield line, column, f"{finding.code} {finding.message}", type(self)
