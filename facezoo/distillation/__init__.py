"""Distillation: a file for each paper's loss between a student and its teacher."""

from facezoo.distillation import attention as attention
from facezoo.distillation import correlation as correlation
from facezoo.distillation import dark_rank as dark_rank
from facezoo.distillation import direct as direct
from facezoo.distillation import ekd as ekd
from facezoo.distillation import factor_transfer as factor_transfer
from facezoo.distillation import fsp as fsp
from facezoo.distillation import hint as hint
from facezoo.distillation import logits as logits
from facezoo.distillation import neuron_selectivity as neuron_selectivity
from facezoo.distillation import pkt as pkt
from facezoo.distillation import rkd as rkd
from facezoo.distillation import similarity as similarity
from facezoo.distillation.loss import create_distillation as create_distillation
from facezoo.distillation.loss import kinds as kinds
from facezoo.distillation.teaching import Shown as Shown
from facezoo.distillation.teaching import Teacher as Teacher
