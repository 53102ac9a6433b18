"""Floor 1: one volume over several processes, each holding a run of its rows.

Point-to-point messages, not DTensor. A network of reversible blocks is local but for the middle convolutions of its
residual nets, so that one exchange of edges, itself a differentiable map, is all that has to be said; the walk back by
inversion evaluates the same nets and thereby exchanges the same edges, without knowing of it. DTensor (torch 2.13)
exchanges a convolution's edges along the last axis only and always among all processes of the default group, and every
other operation of the steps, many of them in place, would have to be one that it has a rule for.
"""

from invrim.sharding.shard import Part, Shard, Shardable

__all__ = ["Part", "Shard", "Shardable"]
