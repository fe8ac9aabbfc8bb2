"""Tamis beside other implementations of the same attention: the packages themselves."""
