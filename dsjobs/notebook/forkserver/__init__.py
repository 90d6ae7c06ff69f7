"""Kernels that start by a fork of one process that has imported them, and the keeper that each kernel has, forked or not.

`server.py`, `kernel.py` and `keeper.py` run in processes of their own and import nothing but the standard library before
the kernel's packages; `client.py`, `provisioner.py` and `choice.py` belong to the process that wants kernels.
"""
