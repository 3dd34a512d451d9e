from .comparison import Comparison as Comparison
from .comparison import compare_sweeps as compare_sweeps
from .leaderboard import leaderboard_columns as leaderboard_columns
from .leaderboard import pareto_front as pareto_front
from .leaderboard import select_winner as select_winner
from .leaderboard import trial_table as trial_table
from .leaderboard import write_tables as write_tables
from .repeats import pending_repeats as pending_repeats
