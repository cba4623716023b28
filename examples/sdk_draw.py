"""Draw the faces of a photo: python examples/sdk_draw.py PHOTO OUT.png"""

import sys
from pathlib import Path

from facezoo.image import read_image, write_image
from facezoo.sdk import FaceAnalyzer, draw


def main(photo: Path, out: Path) -> None:
    image = read_image(photo)
    faces = FaceAnalyzer().detect(image)
    labels = [f"{number}: {face.score:.2f}" for number, face in enumerate(faces, start=1)]
    write_image(out, draw(image, faces, labels))
    print(f"{len(faces)} faces in {out}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
