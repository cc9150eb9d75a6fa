"""The runtime: Go's ``runtime/panic.go`` in Python.

In the order of a call:

- `wrapper`: the function that runs a body and then its deferred calls;
- `invocation`: the search for the record to which a `defer` belongs;
- `call_sites` and `decorators`: checks for a misplaced `defer`;
- `record`: the record, its `_defer` nodes, and their pool;
- `unwind`: the loops that run the calls, ``deferreturn`` and ``gopanic``;
- `recovery`: the right to recover;
- `exits`: helpers of open-coded functions, which make their calls themselves;
- `constants`: the runtime's objects in the code of open-coded functions;
- `results`, `context_managers`, `exceptions`, `traceback`, `frames`: helpers of the modules above.

Nothing here imports the compiler.
"""
