"""Galleries: enrolled identities, durable and searchable."""

from facezoo.gallery.enroll import Enrolled, enroll
from facezoo.gallery.gallery import Gallery, Hit

__all__ = ["Enrolled", "Gallery", "Hit", "enroll"]
