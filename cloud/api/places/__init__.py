"""The estate for programs: sites, buildings and rooms, as they are and as they are changed."""

from fastapi import APIRouter

from cloud.api.places import buildings, sites

router = APIRouter()
for module in (sites, buildings):
    router.include_router(module.router)
