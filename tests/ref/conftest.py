"""Shared fixtures of the trainer's tests."""

import pytest


@pytest.fixture
def every_step(monkeypatch):
    """Write one point of the loss curve for each step."""
    monkeypatch.setattr("ddpm_ref.report.LOG_EVERY", 1)
