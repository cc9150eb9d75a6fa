"""The compiler of open-coded functions, imported only when a function must be compiled.

A `defer` passes through these modules. Read them in this order:

- `compile`: turns the code of a function into its lowered code, with the help of the others;
- `source`: finds the source of the function, and proves that it is the function's own;
- `sites`: finds the statements of godefer in the source, and the deferred call of each;
- `lower`: chooses a shape for each site, and puts the rest of the function into it;
- `shapes`: the shapes, as Python source with placeholders.

Read the others when you need them:

- `lists`: the shape *list*, for statements in loops;
- `returns`: rewrites `return` statements for recoveries and named results;
- `nodes`: builds copies of a shape, and single nodes;
- `text`: reads the lines of a source;
- `quiet`: compiles without warnings;
- `rewritten`: functions that pytest, or another tool, has rewritten;
- `tree`: walks over syntax trees.
"""
