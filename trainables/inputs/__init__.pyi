from .augmentation import NUMBERS as NUMBERS
from .augmentation import augment as augment
from .feature_loader import GPU_BATCH as GPU_BATCH
from .feature_loader import Inputs as Inputs
from .feature_store import FeatureStore as FeatureStore
from .out_of_memory import run_by_halves as run_by_halves
from .sampling import training_batches as training_batches
from .views import Views as Views
