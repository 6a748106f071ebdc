"""Flow control of a connection that can stop reading whatever its requests ask for."""

from uvicorn.protocols.http.flow_control import FlowControl


class ReadFlow(FlowControl):
    """uvicorn's flow control. A request that awaits its body resumes reading, except while the connection holds it."""

    def hold(self) -> None:
        """Stop reading until `release`."""
        self.pause_reading()
        self.resume_reading = _stay_paused  # type: ignore[method-assign]  # a check would cost every request

    def release(self) -> None:
        """Read on."""
        vars(self).pop("resume_reading", None)
        self.resume_reading()


def _stay_paused() -> None:
    """Do nothing."""
