"""Former name of :mod:`goodbad_pipeline.networks`, kept for old imports."""

from goodbad_pipeline.networks import __all__ as __all__
from goodbad_pipeline.networks import __getattr__ as __getattr__
