from .export import export_model as export_model
from .export import need_packages as need_packages
from .finalize import hand_over as hand_over
from .finalize import made_before as made_before
from .model_card import Exported as Exported
from .selection import choose as choose
