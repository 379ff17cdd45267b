"""The former name of :mod:`goodbad_pipeline.networks`, kept so that old imports work."""

from goodbad_pipeline.networks import __all__ as __all__
from goodbad_pipeline.networks import __getattr__ as __getattr__
