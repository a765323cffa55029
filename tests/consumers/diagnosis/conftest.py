"""One broker with rights of users for all tests of the doctor, and topics of each test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consumers.diagnosis.spoilt import Installation
from tests.secured_broker import SecuredBroker, secured_broker


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.fixture
def shop(secured: SecuredBroker, prefix: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(secured, prefix, tmp_path)
    yield made
    made.close()
