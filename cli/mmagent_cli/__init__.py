"""The ``mmagent`` command: one file per command, heavy imports inside the function that needs them."""
