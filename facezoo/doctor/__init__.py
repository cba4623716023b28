"""What is wrong between a model and its contract, or with the network itself."""

from facezoo.doctor.contract import IMAGENET_MEAN, IMAGENET_STD, Diagnosis, diagnose
from facezoo.doctor.network import Finding, examine, noise
from facezoo.doctor.trial import Variant

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Diagnosis", "Finding", "Variant", "diagnose", "examine", "noise"]
