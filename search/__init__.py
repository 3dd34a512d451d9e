"""Hyperparameter sweeps over timm backbones: planning, search, final model and report.

Subpackages, lowest layer first: `config` and `cluster`; `record` and `samplers`; `trial` and
`ranking`; `planning`, `report` and `final`; `tuning`. The modules `preparation`, `sweep` and
`operations` use these subpackages, and `cli` comes last. Exported names are imported on first use,
because Ray and torch take seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
