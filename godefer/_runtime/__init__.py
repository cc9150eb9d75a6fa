"""The runtime: Go's ``runtime/panic.go`` in Python.

In the order of a call:

- `wrapper`: the function that runs a body and then its deferred calls;
- `invocation`: the record of the invocation that a `defer` belongs to;
- `record`: the record, its `_defer` nodes, and their pool;
- `unwind`: the loops that run the calls, ``deferreturn`` and ``gopanic``;
- `recovery`: the right to recover;
- `exits`: helpers of open-coded functions, which make their calls themselves;
- `results`, `context_managers`, `exceptions`, `traceback`, `frames`: questions about Python objects
  that all of these ask.

Nothing here imports the compiler.
"""
