"""Kinds without rules of their own, but for how a delete is answered."""

from __future__ import annotations

from .strategy import Strategy


class AnsweringStrategy(Strategy):
    """ServiceAccounts, and what is built on this: a delete answers with the object."""

    returns_deleted = True
