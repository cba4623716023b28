"""Optimisers that follow sparse gradients and low precision, what each parameter's group is, and the learning rate."""

from facezoo.optim.average import NORM_BATCHES as NORM_BATCHES
from facezoo.optim.average import Ema as Ema
from facezoo.optim.average import Swa as Swa
from facezoo.optim.average import create_average as create_average
from facezoo.optim.groups import parameter_groups as parameter_groups
from facezoo.optim.rows import create_optimizer as create_optimizer
from facezoo.optim.schedule import lr_at as lr_at
from facezoo.optim.schedule import set_lr as set_lr
