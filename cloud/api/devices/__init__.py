"""Devices for programs: gateways with their lines, meters, service points, and what is done to a mounted meter."""

from fastapi import APIRouter

from cloud.api.devices import changes, gateways, meters, particulars, points

router = APIRouter()
for module in (gateways, meters, points, changes, particulars):
    router.include_router(module.router)
