"""The group `facezoo data`: look at a dataset and work on it."""

from __future__ import annotations

from cyclopts import App

from facezoo.cli.app import app

commands = App(name="data", help="Look at a dataset and work on it.")
app.command(commands)
