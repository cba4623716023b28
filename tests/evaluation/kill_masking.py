"""Run by test_masked_photos: masks drawn on the photos of a folder, killed at a random file operation, gone on with.

Arguments: photos, folder to work in, number of kills, seed. Prints how many kills there were and the names of files
that differ from those of a run that was not killed.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np

from facezoo.evaluation import masked_photos as engine
from facezoo.evaluation.photos import Photo
from facezoo.image import find_images
from facezoo.mask.finder import Finder
from facezoo.mask.outfit import Outfit

EVENTS = ("open", "os.")


def draw(photos, folder, workers=1):
    engine.PIECE = 4
    drawing = engine.Drawing(Outfit(("surgical", "n95"), 2), Finder("arcface", "landmarks"), 0)
    return engine.masked_photos("toy", photos, np.arange(len(photos)), drawing, folder, workers)


def run(photos, folder, kill_at=0):
    """Draw in a child that kills itself; gives its number of file operations, None if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            return None
        assert status == 0, f"the drawing failed: {status}"
        return int(told)
    count = 0

    def count_operation(event, arguments):
        nonlocal count
        if event.startswith(EVENTS) and str(folder) in str(arguments):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_operation)
    draw(photos, folder)
    os.write(writing, str(count).encode())
    os._exit(0)


def tree(folder):
    """All files and their bytes; hidden ones are what a killed process was writing."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def main(root, folder, kills, seed):
    photos = [Photo(path.name, path) for path in find_images(Path(root))[:12]]
    if int(kills) == 0:  # to be killed from outside
        draw(photos, Path(folder) / "workers", 2)
        return
    chance, whole = random.Random(int(seed)), Path(folder) / "whole"
    draw(photos[:1], Path(folder) / "compiled")  # once, not in every child
    operations, killed, differing = run(photos, whole), 0, set()
    wanted = tree(whole)
    for number in range(int(kills)):
        out = Path(folder) / f"killed{number}"
        killed += run(photos, out, chance.randint(1, operations)) is None
        run(photos, out)
        found = tree(out)
        differing |= {path for path in {*wanted, *found} if wanted.get(path) != found.get(path)}
    sys.stdout.write(json.dumps({"killed": killed, "files": len(wanted), "differing": sorted(differing)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
