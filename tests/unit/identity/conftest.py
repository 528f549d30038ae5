"""The keys of the session: made once, for making RSA keys is slow."""

from __future__ import annotations

import pytest

from tests.unit.identity.keyring import Ring, make_ring


@pytest.fixture(scope="session")
def ring() -> Ring:
    """RSA, EC and Ed25519 keys."""
    return make_ring()
