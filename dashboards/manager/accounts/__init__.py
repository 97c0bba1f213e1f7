"""The pages of accounts 户: found and opened, one account with all that can be done with it, drafts, vacant rooms."""

from fastapi import APIRouter

from dashboards.manager.accounts import account, drafts, found, leaving, messages, opening, vacant

router = APIRouter(include_in_schema=False)
for module in (opening, drafts, vacant, messages, found, account, leaving):
    router.include_router(module.router)
