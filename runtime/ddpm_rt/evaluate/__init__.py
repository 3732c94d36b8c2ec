"""How close the samples of an engine are to a data set, in the features of any ONNX network. NumPy only.

>>> from ddpm_rt.evaluate import evaluate
>>> found = evaluate(engine, request, RealImages.open(path, card.image_shape), PooledPixels(), Resampling())
"""

from .evaluate import Evaluation, Resampling, evaluate
from .features import FeatureNetwork, Features, PooledPixels
from .real_images import RealImages

__all__ = ["Evaluation", "FeatureNetwork", "Features", "PooledPixels", "RealImages", "Resampling", "evaluate"]
