"""The compiler of open-coded functions, imported only when a function must be compiled.

The way of a `defer`, in the order of reading:

- `compile`: from a function to its open code; it calls the others, and keeps the outcome;
- `source`: the verified source of a function, as an AST;
- `sites`: the statements of godefer in it, and the deferred call of each;
- `lower`: each site, and the rest of the function, into a shape;
- `shapes`: the lowered code, as Python source with placeholders.

Read these two when you need them:

- `lists`: the shape *list*, for statements in loops;
- `returns`: the `return` statements, rewritten for recoveries and named results.
"""
