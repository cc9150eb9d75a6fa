"""Run programs in Python: ``python -m tests.oracle.worker FILE…``; the environment sets the way.

Write a line of JSON for each, as soon as it has run: its file, its log, the ways its functions were
run and, with ``--trace``, the executed lines.
"""

import json
import signal
import sys

from tests.oracle import prelude

SECONDS = 20  # for one program; the signal then ends the process


def main(files):
    trace = files[0] == "--trace"
    for file in files[trace:]:
        signal.alarm(SECONDS)
        with open(file, encoding="utf-8") as text:
            code = compile(text.read(), file, "exec")
        prelude.log.clear()
        module = {"__name__": "program", "__file__": file}
        exec(code, module)
        lines = set()
        if trace:
            sys.settrace(_tracer(file, lines))
        log = prelude.run(module["begin"])
        sys.settrace(None)
        print(json.dumps([file, log, prelude.log.ways, sorted(lines)]), flush=True)


def _tracer(file, lines):
    def local(frame, event, _):
        if event == "line":
            lines.add(frame.f_lineno)
        return local

    return lambda frame, event, _: local if frame.f_code.co_filename == file else None


if __name__ == "__main__":
    main(sys.argv[1:])
