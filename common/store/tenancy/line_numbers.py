"""The number of a line: a hash of the queue above 32 bits of the tenant, as `live.line` has it.

So the lines of a queue are neighbours in the index `live_line`, and each is one range of it. Two queues may have the
same hash, so statements compare the queue too, but as an expression: with the column, PostgreSQL takes the smaller
index `live_due` after an ANALYZE of a table that is mostly one tenant's, and filters a million rows.
"""

#: The lines of a queue: this, and each tenant in its lower bits.
LINES_OF = "(hashtextextended({queue}, 0) & -4294967296)"
OF_QUEUE = "l.queue || '' = {queue}"
