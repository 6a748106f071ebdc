"""The batch of a job, by its id alone: the ids of a batch's jobs differ from its own in the last 32 bits."""

#: The id that the batch of job {id} has, if the job is of one.
BATCH_OF = "(left({id}::text, 28) || '00000000')::uuid"
