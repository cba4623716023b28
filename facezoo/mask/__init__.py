"""Masks and other things worn on faces, in three dimensions."""
