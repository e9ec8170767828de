"""The portal as a queueing network, in SimPy."""
