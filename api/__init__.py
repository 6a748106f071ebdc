"""The API: takes submissions, reads jobs. Runs no job."""
