"""What is done when a proposal is decided: for each kind the function that does it.

An executor is called with the deciding session, the approval, who decided, and now. It does what was proposed
in that transaction and by its own service; what it raises undoes the decision and is said to whoever decided.
The service that proposes imports approvals; this module imports the services.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.services import bulk_cuts
from cloud.services.accounts import stating
from cloud.services.approvals import Approval
from cloud.services.money import approving
from cloud.services.tariffs import drafts, publication

Executor = Callable[[Session, Approval, SignedIn, datetime], None]

EXECUTORS: dict[str, Executor] = {
    bulk_cuts.KIND: bulk_cuts.carry_out,
    drafts.KIND: publication.publish,
    stating.KIND: stating.carry_out,
    approving.WITHDRAWAL: approving.send,
    approving.REOPENING: approving.reopen,
}
"""By the kind that approvals.propose was given."""

LET_GO: dict[str, Executor] = {approving.WITHDRAWAL: approving.release}
"""What is done in the same transaction when a proposal of the kind is refused or withdrawn; nothing for most."""
