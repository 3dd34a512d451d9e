"""The sweep: what runs where, what is tried next, what becomes of the winner.

Rooms, from the ground up: `config` and `cluster`; `record` and `samplers`; `trial` and `ranking`;
`planning`, `report` and `final`; `tuning`; above them `sweep` and `operations`, and the `cli`.
Names are loaded when they are first used, for Ray and torch take seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
