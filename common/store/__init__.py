"""All SQL: one verb, one statement, one function. Verbs of the API are async, those of workers and controllers sync; no verb has both."""
