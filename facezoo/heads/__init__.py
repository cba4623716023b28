"""Heads: a margin per paper, the classifier that owns the class centres, and the losses beside the margin."""

from facezoo.heads import adacos as adacos
from facezoo.heads import adaface as adaface
from facezoo.heads import adam_softmax as adam_softmax
from facezoo.heads import arcface as arcface
from facezoo.heads import arcnegface as arcnegface
from facezoo.heads import centre_loss as centre_loss
from facezoo.heads import cifp as cifp
from facezoo.heads import circle_loss as circle_loss
from facezoo.heads import combined as combined
from facezoo.heads import contrastive as contrastive
from facezoo.heads import cosface as cosface
from facezoo.heads import curricularface as curricularface
from facezoo.heads import elasticface as elasticface
from facezoo.heads import losses as losses
from facezoo.heads import magface as magface
from facezoo.heads import mv_softmax as mv_softmax
from facezoo.heads import npcface as npcface
from facezoo.heads import proxies as proxies
from facezoo.heads import softmax as softmax
from facezoo.heads import sphereface as sphereface
from facezoo.heads import triplet as triplet
from facezoo.heads import uniface as uniface
from facezoo.heads import x2_softmax as x2_softmax
from facezoo.heads.classifier import Classifier as Classifier
from facezoo.heads.classifier import create_head as create_head
from facezoo.heads.embedding_loss import create_embedding_losses as create_embedding_losses
