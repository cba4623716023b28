"""Networks that give something other than embeddings: faces, landmarks, quality.

Each is a torch module made by a spec string of `facezoo.registry.NETWORKS`; its `colors`, `mean` and `std` say what it
is fed with. `facezoo.checkpoint.load_network` reads their files.
"""

from facezoo.networks import keys, pfld, quality, retinaface, scf

__all__ = ["keys", "pfld", "quality", "retinaface", "scf"]
