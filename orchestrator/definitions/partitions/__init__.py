"""How an asset is divided: by time, by names, or by several at once.

Comes in: what a user declared. Goes out: keys, windows, and compact sets of keys. Always holds: everything is a pure
function of its arguments, `as_of` included; equal partitionings divide alike. May import: `orchestrator.errors`.
"""

from __future__ import annotations

from orchestrator.definitions.partitions.base import Partition, Partitions, PartitionSet
from orchestrator.definitions.partitions.multi import GridSet, Multi
from orchestrator.definitions.partitions.named import UNPARTITIONED, Dynamic, NamedPartitions, NameSet, Static
from orchestrator.definitions.partitions.time import (
    Daily,
    Hourly,
    Monthly,
    Quarterly,
    TimePartitions,
    TimeSet,
    Weekly,
    Yearly,
)

__all__ = [
    "UNPARTITIONED",
    "Daily",
    "Dynamic",
    "GridSet",
    "Hourly",
    "Monthly",
    "Multi",
    "NameSet",
    "NamedPartitions",
    "Partition",
    "PartitionSet",
    "Partitions",
    "Quarterly",
    "Static",
    "TimePartitions",
    "TimeSet",
    "Weekly",
    "Yearly",
]
