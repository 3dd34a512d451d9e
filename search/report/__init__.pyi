from .report import write_report as write_report
from .tensorboard_figures import draw_best as draw_best
