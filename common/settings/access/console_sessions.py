"""Settings of console sessions: browsers that sign in."""

from pydantic import Field

from common.settings.field_types import Count, Seconds, SettingsGroup


class ConsoleSessionSettings(SettingsGroup):
    """The sign-in of browsers, and how long it lasts."""

    console_sign_in: bool = Field(
        True,
        description="API: browsers may sign in, and their session cookies are accepted. `false`: a sign-in is refused "
        "with 409, and no cookie is looked at.",
    )
    session_idle_seconds: Seconds = Field(
        3_600, description="API: time in seconds without a request after which a console session ends."
    )
    session_max_seconds: Seconds = Field(
        43_200, description="API: time in seconds from its sign-in after which a console session ends in any case."
    )
    max_sessions_per_caller: Count = Field(
        20,
        description="API: largest number of console sessions of one API key, or of one subject of an OpenID provider; "
        "a further sign-in ends the oldest one.",
    )
    insecure_session_cookie: bool = Field(
        False,
        description="API: browsers may sign in over plain http to other hosts than loopback addresses: everyone who "
        "reads the network can then act as they do. `false`: such a sign-in is refused with 403.",
    )
