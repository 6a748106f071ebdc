"""URLs of PostgreSQL and Redis: one parser and one table of parameters for every process and driver, and their masking.

Start at `database.DatabaseServer` and `redis_server.RedisServer`. Imports nothing of jobproc.
"""

from common.server_urls.masking import masked_url as masked_url
