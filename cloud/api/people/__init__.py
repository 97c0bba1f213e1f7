"""Staff for programs, to be read; what was done, and what waits for a second person."""

from fastapi import APIRouter

from cloud.api.people import approvals, audit, users

router = APIRouter()
for module in (users, audit, approvals):
    router.include_router(module.router)
