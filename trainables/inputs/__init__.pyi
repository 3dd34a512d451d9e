from .augmentation import NUMBERS_PER_IMAGE as NUMBERS_PER_IMAGE
from .augmentation import augment as augment
from .feature_loader import GPU_BATCH_SIZE as GPU_BATCH_SIZE
from .feature_loader import FeatureLoader as FeatureLoader
from .feature_store import FeatureStore as FeatureStore
from .out_of_memory import run_by_halves as run_by_halves
from .sampling import training_batches as training_batches
from .views import Views as Views
