"""Commands: see the module's functions."""
