"""Invented people, rendered: labelled photos in any number, without a photo of anybody.

    head = load_head()
    person = make_identity(head, seed=0, number=7)
    sample = render(person, draw_view(head, person.traits, image=0), size=112)

The head's shape is MakeHuman's (CC0 1.0); everything else is drawn from the seed. Rendering needs numba, which is
imported when the first face is rendered: pip install "facezoo[synth]".
"""

from facezoo.data.synthetic.dataset import write_faces
from facezoo.data.synthetic.head_model import HeadModel, load_head
from facezoo.data.synthetic.identity import Identity, make_identity
from facezoo.data.synthetic.render import Sample, render
from facezoo.data.synthetic.traits import Traits, draw_traits
from facezoo.data.synthetic.view import View, draw_view

__all__ = [
    "HeadModel",
    "Identity",
    "Sample",
    "Traits",
    "View",
    "draw_traits",
    "draw_view",
    "load_head",
    "make_identity",
    "render",
    "write_faces",
]
