"""What the tests of the trainer share."""

import pytest


@pytest.fixture
def every_step(monkeypatch):
    """A point of the loss curve a step."""
    monkeypatch.setattr("ddpm_ref.report.LOG_EVERY", 1)
