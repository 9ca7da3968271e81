"""`pytest tests/wire --hypothesis-profile=long` searches 2,000 examples a property (minutes)."""

from hypothesis import settings

settings.register_profile("long", max_examples=2000, deadline=None)
