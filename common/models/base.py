"""The declarative base of all tables."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, DateTime, MetaData, Text, Uuid
from sqlalchemy.orm import DeclarativeBase

Json = dict[str, Any]


class Base(DeclarativeBase):
    """The declarative base. Its naming convention fixes the names of constraints, so that migrations can use them."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "ck": "%(table_name)s_%(constraint_name)s",
            "ix": "%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - the form that SQLAlchemy documents
        UUID: Uuid,
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        Json: JSON,
    }
