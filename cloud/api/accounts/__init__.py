"""Accounts for programs: found, opened, changed, closed; drafts; vacant rooms; photos of meters."""

from fastapi import APIRouter

from cloud.api.accounts import accounts, closing, drafts, vacant

router = APIRouter()
for module in (accounts, closing, drafts, vacant):
    router.include_router(module.router)
