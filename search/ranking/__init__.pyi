from .comparison import Comparison as Comparison
from .comparison import compare_sweeps as compare_sweeps
from .leaderboard import columns as columns
from .leaderboard import pareto as pareto
from .leaderboard import trial_table as trial_table
from .leaderboard import winner as winner
from .leaderboard import write_tables as write_tables
from .repeats import repeats_of as repeats_of
