"""The fixture `way`: every behaviour test runs in each of the ways godefer can run a function."""

import pytest

from godefer import with_defers

WAYS = ["runtime"]


class Way:
    """`@way` is `@with_defers`, made to run the function the way that `name` says."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"<way {self.name}>"

    def __call__(self, fn=None, /, **options):
        return with_defers(fn, **options) if fn is not None else with_defers(**options)


@pytest.fixture(params=WAYS)
def way(request):
    return Way(request.param)
