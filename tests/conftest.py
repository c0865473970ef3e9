"""Settings for all tests: hypothesis tries the same examples every time, and keeps nothing in the repository."""

from hypothesis import settings

settings.register_profile("onepage", derandomize=True, database=None, deadline=None)
settings.load_profile("onepage")
