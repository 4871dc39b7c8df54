"""What holds for every test: none of them has a time limit, since no two machines are equally busy."""

from hypothesis import settings

settings.register_profile("omnireco", deadline=None)
settings.load_profile("omnireco")
