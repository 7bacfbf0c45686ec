"""Labelled data: read from any of the usual layouts, split, and checked before anything is trained on it.

from mmagent.data import check, read_labelled, stratified_split

labelled = read_labelled("flowers/", plugins.modalities)
print(check(labelled, plugins).text())
"""

from mmagent.data.check import check
from mmagent.data.labelled import Example, LabelledSet, Problem
from mmagent.data.read import read_labelled
from mmagent.data.report import CheckReport
from mmagent.data.split import stratified_split

__all__ = [
    "CheckReport",
    "Example",
    "LabelledSet",
    "Problem",
    "check",
    "read_labelled",
    "stratified_split",
]
