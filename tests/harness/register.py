"""Was a key a linearizable register? For histories in which every write has a value of its own.

All operations on one value form a cluster: its write and the reads that saw it. Between the first
of them that ended and the last that began the key must have held that value, if the former lies
before the latter: a span of certainty. A history is linearizable exactly when no read saw what was
not written or not yet begun, no two spans of certainty overlap, and no cluster without such a span
lies whole inside the span of another value.
"""
from collections import namedtuple

# kind "write" or "read"; value: hashable; began, ended: seconds, in one clock. A write whose
# outcome is unknown has ended = infinity.
Operation = namedtuple("Operation", "kind value began ended")


def clusters_of(history):
    clusters = {}
    for operation in history:
        clusters.setdefault(operation.value, []).append(operation)
    return clusters


def find_fault(history):
    """None, or what is wrong, in words."""
    spans, loose = [], []
    for value, cluster in clusters_of(history).items():
        writes = [operation for operation in cluster if operation.kind == "write"]
        if len(writes) != 1:
            return f"{value!r} was read, and written {len(writes)} times"
        if any(operation.ended < writes[0].began for operation in cluster):
            return f"{value!r} was read before it was written"
        first_end = min(operation.ended for operation in cluster)
        last_begin = max(operation.began for operation in cluster)
        if first_end < last_begin:
            spans.append((first_end, last_begin, value))
        else:
            loose.append((last_begin, first_end, value))
    spans.sort()
    for earlier, later in zip(spans, spans[1:]):
        if later[0] < earlier[1]:
            return f"{earlier[2]!r} and {later[2]!r} were there at the same time"
    for begin, end, value in loose:
        for span in spans:
            if span[0] < begin and end < span[1]:
                return f"{value!r} came and went while {span[2]!r} was there"
    return None
