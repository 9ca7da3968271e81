"""`pytest tests/wire --hypothesis-profile=long` searches some thousand examples a property."""

from hypothesis import settings

settings.register_profile("long", max_examples=5000, deadline=None)
