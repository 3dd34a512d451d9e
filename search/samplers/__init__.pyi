from .factory import make_sampler as make_sampler
from .freeze_thaw import FreezeThawSampler as FreezeThawSampler
from .learning_curves import BASELINE as BASELINE
from .learning_curves import NEVER_BEGAN as NEVER_BEGAN
from .multi_fidelity_gp import MultiFidelitySampler as MultiFidelitySampler
