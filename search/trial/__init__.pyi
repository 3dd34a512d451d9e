from .checkpoints import Checkpoints as Checkpoints
from .checkpoints import CheckpointWriter as CheckpointWriter
from .context import TrialJob as TrialJob
from .request import TrialRequest as TrialRequest
from .trainable import LOGITS_KEY as LOGITS_KEY
from .trainable import STATE_KEY as STATE_KEY
from .trainable import FineTuneTrial as FineTuneTrial
