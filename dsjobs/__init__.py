"""dsjobs: notebook jobs, declared in YAML, run on Yandex DataSphere or on the own machine."""

from dsjobs.publish import publish

__all__ = ["__version__", "publish"]

__version__ = "0.1.0"
