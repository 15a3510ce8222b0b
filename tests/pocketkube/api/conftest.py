"""An API in this process, for the tests of this folder."""

from __future__ import annotations

from in_process_api import api

__all__ = ["api"]
