"""The compiled event loop of the offices; a module for each of the model's parts."""
