"""What the command line says of itself: one sentence, one exit code, and nothing of other libraries."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["detect"], "(see facezoo detect --help)"),
        (["gallery", "remove", "x.db"], "(see facezoo gallery remove --help)"),
        (["detect", "a.jpg", "--outt", "x"], "Did you mean --out?"),
        (["detct", "a.jpg"], "(see facezoo --help)"),
    ],
)
def test_a_wrong_call_is_one_sentence_that_names_the_right_help(run, tokens, words):
    code, out, error = run(*tokens)

    assert (code, out) == (2, "")
    assert words in error and error.startswith("facezoo: ") and len(error.splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "facezoo", "list", "detectors"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read().decode()

    assert (process.returncode, error) == (141, "")


def test_an_interrupt_while_commands_are_imported_is_one_line():
    code = (
        "import runpy, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "runpy.run_module('facezoo', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (130, "facezoo: interrupted\n")


def test_other_libraries_are_heard_from_warnings_on(run):
    run("list", "detectors")

    assert logging.getLogger("facezoo.data").isEnabledFor(logging.INFO)
    assert not logging.getLogger("onnxscript").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(("kind", "name"), [("backbones", "mobilefacenet"), ("heads", "arcface"), ("losses", "focal")])
def test_list_names_what_a_spec_string_can_name(run, kind, name):
    assert name in [line.partition(" ")[0] for line in run("list", kind)[1].splitlines()]


def test_list_shows_a_heads_formula_options_paper_and_presets(run):
    out = run("list", "heads")[1]
    assert "    target s (c - m); negatives s c_j\n" in out
    assert "    cosface:margin=0.35, scale=64.0\n" in out
    assert "    arcface@facexzoo = arcface:margin=0.35,scale=32,fallback=cosine\n" in out
    assert "    https://arxiv.org/abs/1801.09414\n" in out


def test_list_shows_what_every_benchmark_takes_as_it_may_be_written(run):
    out = run("list", "benchmarks")[1]
    assert "any benchmark       With masked=probe" in out
    assert '\n    masked=none, mask_templates=["surgical","n95","cloth","gaiter"], mask_pieces=16' in out


NO_PAPER = {("distillation-losses", "cosine"), ("distillation-losses", "mse")}
"""That one embedding is to be another is nobody's idea."""


@pytest.mark.parametrize("kind", ["heads", "losses", "embedding-losses", "distillation-losses"])
def test_every_head_and_loss_says_its_formula_and_its_paper(run, kind):
    for card in json.loads(run("list", kind, "--json")[1]):
        assert card["what"] and card["formula"], card["name"]
        assert card["paper"].startswith("http") or (kind, card["name"]) in NO_PAPER, card["name"]


@pytest.mark.parametrize("command", [["train", "config.toml"], ["export", "run", "out.onnx"], ["demo", "out"]])
def test_without_torch_the_extra_is_named(tmp_path, command):
    (tmp_path / "config.toml").write_text('[data]\ntrain = "folder:root=faces"\n')
    code = (
        "import sys\n"
        "for name in ('torch', 'safetensors'): sys.modules[name] = None\n"
        f"from facezoo.cli import main\nmain({command})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith('pip install "facezoo[train]"')
    assert "Traceback" not in done.stderr
