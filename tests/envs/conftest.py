from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _counter_world(monkeypatch):
    """Let this process and its workers import `counter_world`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
