"""The input of the jobs that deliver events."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

_ID = "^[0-9a-f-]{36}$"


class StoredDelivery(BaseModel):
    """An event and its endpoint."""

    endpoint_id: Annotated[str, Field(pattern=_ID)]
    event: dict[str, Any]
    result: Any = None  #: of the job, if its endpoint wants it
    result_omitted: bool = False  #: the endpoint wants it, and it was too large
    message_id: Annotated[str, Field(pattern=_ID)] | None = None  #: of a second delivery: the first one

    @property
    def has_result(self) -> bool:
        """True if the endpoint wants the result of the job."""
        return self.result_omitted or "result" in self.model_fields_set
