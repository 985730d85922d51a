"""A deployment for each system test."""

import pytest
from harness.fleet import Deployment


@pytest.fixture
async def deployment(kafka, tmp_path):
    made = Deployment(kafka, tmp_path)
    await made.create()
    yield made
    made.close()
