"""Fixtures of the end-to-end tests.  Servers are per test module, tasks per test."""

import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from kinesis_server import Kinesisd  # noqa: E402
from servers import Mssqld  # noqa: E402


@pytest.fixture
def mssqld():
    server = Mssqld().start()
    yield server
    server.stop()


@pytest.fixture
def kinesisd():
    server = Kinesisd(streams="invoices:4").start()
    yield server
    server.stop()
