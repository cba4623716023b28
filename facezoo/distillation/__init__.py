"""Distillation: a file for each paper's loss between a student and its teacher."""

from facezoo.distillation import direct as direct
from facezoo.distillation.loss import create_distillation as create_distillation
from facezoo.distillation.loss import kinds as kinds
from facezoo.distillation.teaching import Shown as Shown
from facezoo.distillation.teaching import Teacher as Teacher
