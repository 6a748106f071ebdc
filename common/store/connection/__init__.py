"""Connections to PostgreSQL, one module a driver, and what all of them share.

Start at `statement.py`: a statement knows no driver. `psycopg2_session.py` is imported by workers and controllers, `asyncpg_pool.py` by
the API, `sqlalchemy_engine.py` where the schema is changed. Imports no other folder of the store.
"""
