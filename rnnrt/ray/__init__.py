"""More than one machine: offline scoring with Ray Data and Spark, and sessions behind Ray Serve.

`Predictor` needs nothing beside rnnrt; `rnnrt.ray.serve` needs the extra "ray".
"""

from rnnrt.ray.predictor import Predictor

__all__ = ["Predictor"]
