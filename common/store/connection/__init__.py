"""Connections to PostgreSQL: one module a driver, and the statements and settings that the drivers share.

Start at `statement.py`, which imports no driver. Workers and controllers import `psycopg2_session.py`, the API imports
`asyncpg_pool.py`, and code that changes the schema imports `sqlalchemy_engine.py`. Imports no other folder of the
store.
"""
