"""A run that is told to stop ends with its state saved, by the exit code of the signal, and goes on to the same end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model
from facezoo.config import Config, config_from_dict, config_to_toml
from facezoo.image import write_image
from facezoo.run import read_metrics
from facezoo.stopping import Stopping
from facezoo.train import Trainer

STEPS, STOPPED = 6, 4


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Config:
    """Two epochs of three steps; states are saved at their ends alone."""
    root = tmp_path_factory.mktemp("faces")
    generator = np.random.default_rng(0)
    for number in range(24):
        crop = generator.integers(0, 256, (32, 32, 3), np.uint8)
        write_image(root / f"person{number % 4}" / f"{number}.png", crop)
    return config_from_dict(
        {
            "model": {"backbone": "mobilefacenet:embedding_dim=8,width=0.25,input_size=[32,32]"},
            "data": {"train": f"folder:root={root}", "batch_size": 8, "transforms": ["flip", "noise"]},
            "train": {"epochs": 2, "threads": 1, "log_every": 1},
        }
    )


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    Trainer(settings, out).run()
    return out


def signalled(trainer: Trainer, *numbers: int) -> Trainer:
    """As by a terminal or a scheduler: while step STOPPED is made, the process and its workers get the signals."""
    after = trainer.mode.after_step

    def tell() -> None:
        after()
        if trainer.step + 1 == STOPPED:
            for number in numbers:
                for process in multiprocessing.active_children():
                    os.kill(process.pid, number)
                os.kill(os.getpid(), number)

    trainer.mode.after_step = tell
    return trainer


@pytest.mark.parametrize(
    ("numbers", "end"),
    [
        ([signal.SIGINT], KeyboardInterrupt),
        ([signal.SIGTERM], SystemExit),
        ([signal.SIGTERM, signal.SIGTERM], SystemExit),
    ],
)
def test_a_stopped_run_has_its_state_and_ends_bit_identical(settings, whole, tmp_path, caplog, numbers, end):
    caplog.set_level("INFO", "facezoo")
    with pytest.raises(end) as raised:
        signalled(Trainer(settings, tmp_path), *numbers).run()
    if end is SystemExit:
        assert raised.value.code == 128 + signal.SIGTERM
    assert f"{tmp_path}: stopped, the same command goes on from step {STOPPED}" in caplog.messages
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == STOPPED

    again = Trainer(settings, tmp_path)
    assert again.step == STOPPED
    again.run()
    left, right = (load_model(folder / "last.safetensors")[0].state_dict() for folder in (whole, tmp_path))
    assert all(torch.equal(left[name], right[name]) for name in left)
    losses = [[line["loss"] for line in read_metrics(folder / "metrics.jsonl")] for folder in (whole, tmp_path)]
    assert len(losses[0]) == STEPS and losses[0] == losses[1]


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="readers end with SIGTERM here")
def test_a_scheduler_that_signals_every_process_gets_the_exit_code_and_no_trace(settings, tmp_path):
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    long = replace(settings, train=replace(settings.train, epochs=1000))
    recipe.write_text(config_to_toml(long))
    command = [sys.executable, "-m", "facezoo", "train", str(recipe), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from step" in told and "Traceback" not in told
    assert (out / "state" / "last.pt").exists()


def test_a_second_interrupt_ends_at_once_and_the_last_saved_state_is_gone_on_from(settings, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        signalled(Trainer(settings, tmp_path), signal.SIGINT, signal.SIGINT).run()
    again = Trainer(settings, tmp_path)
    again.folder.close()
    assert again.step == 3


def test_a_signal_in_the_last_step_stops_nothing(settings, tmp_path):
    trainer = Trainer(settings, tmp_path)
    trainer.total = STOPPED
    signalled(trainer, signal.SIGTERM).run()
    assert trainer.step == STOPPED


def test_processes_that_are_told_one_after_another_end_together_once_the_state_is_written(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, str(Path(__file__).parent / "stopping_ranks.py"), str(tmp_path / "state")]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**shared, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in processes] == ["written", "written"]
    assert [process.returncode for process in processes] == [128 + signal.SIGINT] * 2


def test_what_a_shell_has_a_process_in_the_background_ignore_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stopping.asked()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_given_back_and_other_threads_set_none():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stopping() as stopping:
        assert signal.getsignal(signal.SIGTERM) == stopping._wish
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def train() -> None:
        with Stopping() as other:
            assert not other.asked()
            found.extend([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])

    found: list[object] = []
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == before
