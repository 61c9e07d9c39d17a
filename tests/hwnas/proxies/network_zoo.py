"""Small networks of every kind that users write, each with an equal plain network where it is not.

All map 3x8x8 images to 3 logits.
"""

from __future__ import annotations

from tests.hwnas.proxies.computed_networks import COMPUTED
from tests.hwnas.proxies.further_networks import FURTHER
from tests.hwnas.proxies.given_networks import GIVEN
from tests.hwnas.proxies.layered_networks import LAYERED

ZOO = COMPUTED | LAYERED | GIVEN
KINDS = ZOO | FURTHER
