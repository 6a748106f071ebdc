"""Conditions that find a line, the jobs of one tenant in one queue: by the index `live_line`, and by no other one.

The index has the queue in the collation "C", and a condition that holds for every row. A statement of lines compares
the queue in that collation and repeats the condition, so it cannot use `live_due`, which PostgreSQL would prefer after
an ANALYZE of a table that is mostly one tenant's, to filter a million rows. Statements that name no line cannot use
`live_line`, through which PostgreSQL 18 would skip from line to line.
"""

#: True of the rows l of a queue.
OF_QUEUE = 'l.queue = {queue} COLLATE "C" AND l.priority < 10'
#: True of the rows l of a line.
LINE = OF_QUEUE + " AND l.tenant = {tenant}"
