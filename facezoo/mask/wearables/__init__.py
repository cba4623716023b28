"""Recipes of what can be worn: one file for each kind."""

from facezoo.mask.wearables import cloth, eyewear, gaiter, hand, head_cover, image_file, respirator, surgical

__all__ = ["cloth", "eyewear", "gaiter", "hand", "head_cover", "image_file", "respirator", "surgical"]
