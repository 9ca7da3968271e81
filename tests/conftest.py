"""What holds for all tests.

This folder is on the import path, so that `memory_store` serves several parts. Hypothesis
prints how to repeat a failure, and measures no time: a busy machine is no failure.
`pytest --hypothesis-profile=long` tries harder.
"""

from hypothesis import settings

settings.register_profile("usual", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile("usual")
