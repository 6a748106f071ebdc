"""The batch of a job, by its id alone: the ids of a batch's jobs differ from its own in the last 32 bits."""

#: The id that the batch of job {id} has, if the job is of one.
BATCH_OF = "(left({id}::text, 28) || '00000000')::uuid"
#: True if the job {id} is of a batch of which some jobs may be unfinished.
OF_ACTIVE_BATCH = f"""EXISTS (
    SELECT FROM batches WHERE batches.id = {BATCH_OF} AND {{id}} <= batches.last AND batches.failed IS NULL)"""
