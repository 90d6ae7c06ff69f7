"""What knows .ipynb files: finding and reading them, choosing and running their kernels, reading their outputs."""
