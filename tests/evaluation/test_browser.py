"""The page of real benchmarks in a browser: it opens without an error, with its figures and faces."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from facezoo.embedder import load_embedder
from facezoo.evaluation import evaluate
from facezoo.evaluation.pages import write_html
from facezoo.registry import BENCHMARKS
from facezoo.sdk import FaceAnalyzer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Counts what a reader sees, once all pictures are decoded, and writes it where --dump-dom shows it.
PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.outerHTML)), true);
addEventListener("load", () => {
  const images = [...document.images], of = kind => images.filter(image => image.src.startsWith("data:image/" + kind));
  const found = {errors, broken: images.filter(image => !image.complete || !image.naturalWidth).length,
    figures: of("svg").length, faces: of("jpeg").length, wide: document.documentElement.scrollWidth - innerWidth,
    loaded: performance.getEntriesByType("resource").filter(entry => !entry.name.startsWith("data:")).length};
  document.body.append(Object.assign(document.createElement("pre"), {id: "probe", textContent: JSON.stringify(found)}));
});
</script></head>"""


def some_of(benchmark, pairs):
    """The benchmark with some of its pairs (K,) and their photos only."""
    left, right = benchmark.left[pairs], benchmark.right[pairs]
    used, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    return replace(
        benchmark,
        photos=[benchmark.photos[k] for k in used],
        left=place[: len(left)],
        right=place[len(left) :],
        same=benchmark.same[pairs],
        folds=benchmark.folds[pairs],
        identity=benchmark.identity[used],
    )


@pytest.fixture(scope="session")
def real_page(data_root, tmp_path_factory):
    """The page of the default recogniser on LFW and a quarter of CFP, whose crops it aligns anew; and its reports."""
    lfw = BENCHMARKS.create(f"lfw:root={data_root / 'lfw'},landmarks=auto,resamples=50")
    cfp = BENCHMARKS.create(f"cfp:root={data_root / 'cfp112'},missing=drop,resamples=50")
    made = [lfw, some_of(cfp, np.arange(0, len(cfp.same), 4))]
    embed, locate = load_embedder("dlib-resnet29"), FaceAnalyzer("yunet:threads=1").locate
    reports = [evaluate(benchmark, embed, locate) for benchmark in made]
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_html(reports, path, made, locate)
    return path, reports


@pytest.mark.data
@pytest.mark.network
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_of_lfw_and_cfp_opens_without_an_error(real_page, tmp_path, width):
    path, reports = real_page
    assert reports[0].metrics["accuracy"] > 0.985 and reports[1].metrics["accuracy"] > 0.8
    page = tmp_path / "page.html"
    page.write_text(path.read_text().replace("</head>", PROBE, 1))
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
        "--enable-logging=stderr",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"

    done = subprocess.run(
        [str(CHROMIUM), *options, profile, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    assert "CONSOLE" not in done.stderr
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)
    assert match is not None
    found = json.loads(match[1])
    assert (found["errors"], found["broken"], found["loaded"]) == ([], 0, 0)
    assert found["figures"] == 2 + 3 + 3
    assert found["faces"] == 2 * sum(len(report.mistakes) for report in reports) > 0
    assert found["wide"] <= 0
