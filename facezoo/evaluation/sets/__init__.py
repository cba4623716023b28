"""Verification sets by name; a new one is a file that finds its list, and a line here."""

from facezoo.evaluation.sets import agedb, cfp, cplfw, folder, lfw, pack, pairs, rfw

__all__ = ["agedb", "cfp", "cplfw", "folder", "lfw", "pack", "pairs", "rfw"]
