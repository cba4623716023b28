"""What reading, varying and loading crops costs: python benchmarks/data.py LIST [--mxnet PYTHON] [--entries 5000000]

LIST is a `path label` list of JPEG crops. Tables: reading a crop by several decoders and from a .rec, against mxnet
1.9.1, whose interpreter --mxnet names (it needs numpy 1.23.5, so an environment of its own); each transform; the
training loader on 0, 1 and 2 workers, against cv2 and a plain torch Dataset as FaceX-Zoo's; and opening large indexes,
each in a process of its own. CPU time counts all threads and workers, the best of several; crops/s are by the clock.
"""

import argparse
import io
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MXNET_CPU_WORKER_NTHREADS": "1"}
EACH = 56
"""Images of an identity in the generated indexes."""


def cost(action, items, repeats=5):
    """Microseconds of CPU per item."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for item in items:
            action(item)
        times.append(time.process_time() - start)
    return min(times) / len(items) * 1e6


def row(*cells) -> None:
    print(
        "| " + " | ".join(f"{cell:,.0f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def head(*cells) -> None:
    print()
    row(*cells)
    row(*("---" for _ in cells))


def child(python, *tokens):
    """What this script prints, as JSON, when an interpreter runs a part of it."""
    command = [str(python), __file__, *map(str, tokens)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD})
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def reading(data, count, mxnet, folder) -> None:
    import cv2
    from PIL import Image

    from facezoo.data.convert import convert
    from facezoo.image import decode_image
    from facezoo.registry import DATASETS, WRITERS

    indices = np.random.default_rng(0).permutation(len(data))[:count]
    encoded = [data.encoded(int(i)) for i in indices]
    by_pillow = [np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in encoded]
    equal = sum(np.array_equal(decode_image(jpeg), pixels) for jpeg, pixels in zip(encoded, by_pillow, strict=True))
    print(f"{count:,} crops, {sum(map(len, encoded)) / count / 1000:.1f} kB each; same pixels as Pillow in {equal:,}")
    head("one crop", "CPU us", "crops/s a core")

    def timed(name, microseconds):
        row(name, float(microseconds), 1e6 / microseconds)
        return microseconds

    timed("decode, Pillow", cost(lambda jpeg: np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")), encoded))
    timed("decode, cv2", cost(lambda jpeg: cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), encoded))
    timed("decode, facezoo", cost(decode_image, encoded))
    timed("read and decode a file, facezoo", cost(data.read, indices.tolist()))
    path = folder / "train.rec"
    chosen = folder / "chosen.txt"
    chosen.write_text("".join(f"{data.path(i)} {data.labels[i]}\n" for i in np.sort(indices).tolist()))
    convert(DATASETS.create("list", path=chosen, root=data.root), WRITERS.create("rec", path=path))
    records = DATASETS.create("rec", path=path)
    ours = timed("read and decode from .rec, facezoo", cost(records.read, range(len(records))))
    if mxnet:
        theirs = timed("read and decode from .rec, mxnet 1.9.1", child(mxnet, "--mxnet-reads", path))
        print(f"\nfrom .rec {theirs / ours:.1f} times as fast as mxnet")


def mxnet_reads(path) -> None:
    """In mxnet's environment: microseconds of CPU per image, as insightface's data set reads them."""
    import mxnet

    records = mxnet.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "r")
    header, _ = mxnet.recordio.unpack(records.read_idx(0))

    def read(key):
        _, image = mxnet.recordio.unpack(records.read_idx(key))
        return mxnet.image.imdecode(image).asnumpy()

    print(cost(read, range(1, int(header.label[0]))))


def transforms(data) -> None:
    from facezoo.registry import TRANSFORMS

    crops = [data.read(i) for i in range(min(200, len(data)))]
    head("transform", "CPU us")
    for name in TRANSFORMS.names():
        transform, rng = TRANSFORMS.create(name), np.random.default_rng(0)
        row(name, float(cost(lambda crop, t=transform, r=rng: t.apply(crop, r), crops)))


def ours(data, specs, workers, batch_size):
    """Batches of one epoch of the training loader."""
    from facezoo.data.loader import Order, Samples, create_loader
    from facezoo.data.samplers import Shuffle
    from facezoo.data.transforms import create_transforms

    sampler = Shuffle(data.labels, batch_size, 1, seed=0)
    samples = Samples(data, create_transforms(specs), (112, 112), seed=0)
    for batch in create_loader(samples, Order(sampler, 0, sampler.batches), workers, pin_memory=False):
        yield batch.crops


def plain(data, workers, batch_size):
    """Batches of one epoch as FaceX-Zoo's scripts load them: cv2.imread, flip, float32, the default collation."""
    import cv2
    import torch

    class Crops(torch.utils.data.Dataset):
        def __len__(self):
            return len(data)

        def __getitem__(self, index):
            image = cv2.imread(data.name(index))
            if np.random.random() > 0.5:  # noqa: NPY002 - as they do
                image = cv2.flip(image, 1)
            image = (image.transpose(2, 0, 1) - 127.5) * 0.0078125
            return torch.from_numpy(image.astype(np.float32)), int(data.labels[index])

    loader = torch.utils.data.DataLoader(Crops(), batch_size, shuffle=True, num_workers=workers, drop_last=True)
    for images, _ in loader:
        yield images


def seconds_of(batches):
    """CPU seconds, of workers too, seconds by the clock, and crops."""

    def cpu():
        return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

    cpu_start, start = cpu(), time.perf_counter()
    crops = sum(len(batch) for batch in batches)
    wall = time.perf_counter() - start
    return cpu() - cpu_start, wall, crops


def loading(data, repeats, batch_size) -> None:
    kinds = {
        "facezoo: flip": lambda workers: ours(data, ["flip"], workers, batch_size),
        "facezoo: flip, crop": lambda workers: ours(data, ["flip", "crop:probability=1"], workers, batch_size),
        "cv2 and Dataset: flip, float32": lambda workers: plain(data, workers, batch_size),
    }
    head("loader", "workers", "CPU us a crop", "crops/s a core", "crops/s", "times one worker")
    for name, make in kinds.items():
        alone = 0.0
        for workers in (0, 1, 2):
            runs = [seconds_of(make(workers)) for _ in range(repeats)]
            cpu = min(cpu / crops for cpu, _, crops in runs) * 1e6
            rate = max(crops / wall for _, wall, crops in runs)
            alone = rate if workers == 1 else alone
            row(name, workers, cpu, 1e6 / cpu, rate, f"{rate / alone:.2f}" if workers == 2 else "")


def opening(entries, folder) -> None:
    head("opened", "entries", "CPU s", "s", "MB beyond the libraries")
    for name, write in {"list": write_list, "rec": write_rec, "tfrecord": write_tfrecord}.items():
        spec = write(folder, entries)
        runs = [child(sys.executable, "--open", spec) for _ in range(3)]
        assert all(run["entries"] == entries for run in runs)
        cpu, wall, megabytes = (min(run[key] for run in runs) for key in ("cpu", "wall", "megabytes"))
        row(name, f"{entries:,}", f"{cpu:.2f}", f"{wall:.2f}", float(megabytes))


def write_list(folder, entries):
    path = folder / "list.txt"
    with path.open("w") as file:
        file.writelines(f"m.{i // EACH:06x}/{i % EACH:03d}-FaceId-0.jpg {i // EACH}\n" for i in range(entries))
    return f"list:path={path},missing=unchecked"


def write_rec(folder, entries):
    """A .rec as insightface's: record 0, images (of eight bytes), and a record with each identity's range of keys."""
    path, people = folder / "rec" / "train.rec", -(-entries // EACH)
    path.parent.mkdir()
    fields = [("magic", "<u4"), ("length", "<u4"), ("flag", "<u4"), ("label", "<f4"), ("key", "<u8"), ("more", "<u8")]
    records = np.zeros(1 + entries + people, np.dtype([*fields, ("data", "<f4", 2)]))
    records["magic"], records["length"], records["key"] = 0xCED7230A, 32, np.arange(len(records))
    records["label"][1 : entries + 1] = np.arange(entries) // EACH
    records["data"][1 : entries + 1] = 1
    starts = 1 + EACH * np.arange(people)
    records["flag"][entries + 1 :] = records["flag"][0] = 2
    records["data"][entries + 1 :, 0], records["data"][entries + 1 :, 1] = (
        starts,
        np.minimum(starts + EACH, entries + 1),
    )
    records["data"][0] = entries + 1, entries + 1 + people
    records.tofile(path)
    with path.with_suffix(".idx").open("w") as file:
        file.writelines(f"{key}\t{key * records.itemsize}\n" for key in range(len(records)))
    return f"rec:path={path}"


def write_tfrecord(folder, entries):
    """An index of TFace and a shard of the right size; opening it reads no record."""
    (folder / "set").mkdir()
    with (folder / "set" / "set-00000.tfrecord").open("wb") as file:
        file.truncate(100 * entries)
    with (folder / "set" / "set.txt").open("w") as file:
        file.writelines(f"set\t0\t{100 * i}\t{i // EACH}\n" for i in range(entries))
    return f"tfrecord:path={folder / 'set'}"


def open_alone(spec) -> None:
    """Open a dataset in this process, and nothing else."""
    from facezoo.registry import DATASETS

    def peak():
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000

    DATASETS.names()  # imports the readers
    before, cpu, start = peak(), time.process_time(), time.perf_counter()
    data = DATASETS.create(spec)
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - start, "megabytes": peak() - before}
    print(json.dumps({"entries": len(data), **spent}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, nargs="?")
    parser.add_argument("--mxnet", help="the Python of an environment with mxnet 1.9.1")
    parser.add_argument("--crops", type=int, default=2000, help="read and decoded one by one")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each loader, of which the best counts")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--entries", type=int, default=5_000_000, help="of the indexes that are opened")
    parser.add_argument("--mxnet-reads", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--open", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mxnet_reads:
        return mxnet_reads(options.mxnet_reads)
    if options.open:
        return open_alone(options.open)
    if options.list is None:
        parser.error("give a list")
    import cv2
    import torch

    from facezoo.registry import DATASETS

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    logging.disable()
    data = DATASETS.create("list", path=options.list)
    with tempfile.TemporaryDirectory() as folder:
        reading(data, min(options.crops, len(data)), options.mxnet, Path(folder))
        transforms(data)
        loading(data, options.repeats, options.batch_size)
        opening(options.entries, Path(folder))
    return None


if __name__ == "__main__":
    main()
