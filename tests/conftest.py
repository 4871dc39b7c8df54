"""What holds for every test: none has a time limit, and what CI draws at random is the same in every run."""

import os

from hypothesis import settings

settings.register_profile("omnireco", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("omnireco")
