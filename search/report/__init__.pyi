from .report import write_report as write_report
from .tensorboard_figures import log_validation_figures as log_validation_figures
