"""Which photos of a folder show the person of one photo?

    python examples/sdk_compare.py PHOTO FOLDER

Prints every photo with a face at or above the model's threshold, the most similar first.
"""

import sys
from pathlib import Path

from facezoo.image import find_images, read_image, read_images
from facezoo.sdk import FaceAnalyzer, compare


def main(photo: Path, folder: Path) -> None:
    analyzer = FaceAnalyzer()
    person = analyzer.main(read_image(photo))
    if person is None:
        raise SystemExit(f"{photo}: no face found")
    paths = find_images(folder)
    hits = []
    for path, faces in zip(paths, analyzer.many(read_images(paths)), strict=True):
        for face in faces:
            result = compare(person.embedding, face.embedding, analyzer.contract.threshold)
            if result.same:
                hits.append((result.cosine, path))
    for cosine, path in sorted(hits, reverse=True):
        print(f"{cosine:.3f}  {path}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
