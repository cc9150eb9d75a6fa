"""What the tests of all frameworks share."""

import pytest


@pytest.fixture
def events():
    return []
