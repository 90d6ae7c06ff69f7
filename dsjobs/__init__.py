"""dsjobs: notebook jobs, declared in YAML, run on Yandex DataSphere or on the own machine."""

__version__ = "0.1.0"
