"""The books for programs of a finance department, to be read: statements, the journal, refunds, shifts."""

from fastapi import APIRouter

from cloud.api.money import books, shifts, statements, withdrawals

router = APIRouter()
for module in (statements, books, withdrawals, shifts):
    router.include_router(module.router)
