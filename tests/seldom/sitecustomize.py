"""Python programs that tests start look for garbage seldom, and not once more as they end.

A short program's work is to import libraries, whose objects are no garbage: to look at them again
and again is a third of it. `tests/conftest.py` has each interpreter find this folder.
"""

import atexit
import gc

gc.set_threshold(20_000, 20, 50)
atexit.register(gc.freeze)
