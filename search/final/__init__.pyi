from .duration import FinalizationTime as FinalizationTime
from .duration import export_seconds as export_seconds
from .export import check_export_packages as check_export_packages
from .export import export_model as export_model
from .finalize import finalize_model as finalize_model
from .model_card import ExportedFormat as ExportedFormat
from .selection import FinalModelSpec as FinalModelSpec
from .selection import select_final_model as select_final_model
