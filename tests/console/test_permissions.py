"""Sign-in by a key, what scopes hide, and payloads that are hidden."""

from collections.abc import Callable, Iterator

import pytest
from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System

ADMIN = "jp_" + "a" * 43
