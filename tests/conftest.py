"""Settings for all tests: hypothesis tries the same examples every time, and keeps nothing in the repository."""

import pytest
from hypothesis import settings

settings.register_profile("onepage", derandomize=True, database=None, deadline=None)
settings.load_profile("onepage")


@pytest.fixture(autouse=True)
def no_setting_of_the_caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """STRICT=1 of `make test` is for the claims on the trained runs, not for what other tests verify."""
    if request.node.get_closest_marker("claims") is None:
        monkeypatch.delenv("STRICT", raising=False)
