"""What holds for every test."""

from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("rnnrt", deadline=None)
settings.load_profile("rnnrt")
