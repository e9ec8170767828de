"""The kernel: the same model as ``sim.model``, module by module, for Numba to compile."""
