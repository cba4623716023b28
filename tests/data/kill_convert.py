"""Run by test_convert: a conversion killed at the n-th file operation, resumed, and compared with one that was not.

Arguments: source, folder to work in, format, name of the result, number of kills, seed. Prints how many kills there
were, how many had a result to resume, and the names of files that differ.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

from facezoo.data.convert import Options, convert
from facezoo.data.opening import open_dataset
from facezoo.registry import WRITERS

EVENTS = ("open", "os.", "shutil.")


def run(source, out, format, name, kill_at=0):
    """Convert in a child that kills itself; gives its number of file operations, None if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            return None
        assert status == 0, f"the conversion failed: {status}"
        return int(told)
    count, on = 0, True

    def count_operation(event, arguments):
        nonlocal count
        if on and event.startswith(EVENTS) and str(out) in str(arguments):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    data, writer = open_dataset(source), WRITERS.create(f"{format}:path={out / name}")
    sys.addaudithook(count_operation)
    convert(data, writer, Options(part_size=5))
    on = False
    os.write(writing, str(count).encode())
    os._exit(0)


def tree(paths, folder):
    """All files of some files and folders, and their bytes."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def main(source, folder, format, name, kills, seed):
    draw = random.Random(int(seed))
    whole = Path(folder) / "whole"
    whole.mkdir()
    operations, wanted = run(source, whole, format, name), tree(whole.iterdir(), whole)
    killed, resumed, differing = 0, 0, set()
    for number in range(int(kills)):
        out = Path(folder) / f"killed{number}"
        out.mkdir()
        first = draw.randint(1, operations)
        killed += run(source, out, format, name, first) is None
        if not (out / name).exists():
            run(source, out, format, name, draw.randint(1, max(2, operations - first)))
        if not (out / name).exists():
            resumed += 1
            run(source, out, format, name)
        # The result's own name appears last; beside it may lie what a killed run had no time to remove.
        found = tree((path for path in out.iterdir() if not path.name.startswith(".")), out)
        both = {path for path in {*wanted, *found} if not path.endswith(".index")}  # of the files' times, made anew
        differing |= {path for path in both if wanted.get(path) != found.get(path)}
    sys.stdout.write(json.dumps({"killed": killed, "resumed": resumed, "differing": sorted(differing)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
