"""What one pass over the data can compute; each is a monoid."""

from w261reg.aggregators.base import Aggregator
from w261reg.aggregators.class_scores import MulticlassScores
from w261reg.aggregators.classes import ClassSums
from w261reg.aggregators.curvature import Bends, Curvature
from w261reg.aggregators.descent import Descend, Trail
from w261reg.aggregators.directions import AlongDirections, Direction
from w261reg.aggregators.evaluation import Evaluate, Sums
from w261reg.aggregators.exact_rank import ExactRank
from w261reg.aggregators.groups import Grouped, GroupFactors, SummariseGroups
from w261reg.aggregators.local_steps import Average, LocalSteps
from w261reg.aggregators.sample import Sample
from w261reg.aggregators.scores import (
    ClassificationScores,
    Expected,
    RankAgain,
    RegressionScores,
)
from w261reg.aggregators.several import Several
from w261reg.aggregators.summary import Summarise, Summary
from w261reg.aggregators.triangular import Triangular

__all__ = [
    "Aggregator",
    "AlongDirections",
    "Average",
    "Bends",
    "ClassSums",
    "ClassificationScores",
    "Curvature",
    "Descend",
    "Direction",
    "Evaluate",
    "ExactRank",
    "Expected",
    "GroupFactors",
    "Grouped",
    "LocalSteps",
    "MulticlassScores",
    "RankAgain",
    "RegressionScores",
    "Sample",
    "Several",
    "Summarise",
    "SummariseGroups",
    "Summary",
    "Sums",
    "Trail",
    "Triangular",
]
