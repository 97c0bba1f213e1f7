"""Every message that the pages, and the cloud's errors on them, may say."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from babel.messages.extract import extract_from_dir

import cloud
import dashboards
from cloud.errors import CloudError
from cloud.jobs import JOBS

ROOT = Path(dashboards.__file__).parent
CLOUD = Path(cloud.__file__).parent
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract")]
KEYWORDS = {"_": None, "gettext": None, "N_": None, "ngettext": (1, 2)}


def said_by_pages() -> set[str]:
    found = extract_from_dir(
        ROOT, METHODS, {"**.html": {"silent": "false"}}, keywords=KEYWORDS, directory_filter=_ours
    )
    return {
        message if isinstance(message, str) else message[0]
        for _file, _line, message, _c, _x in found
    }


def said_by_errors() -> set[str]:
    for module in pkgutil.walk_packages(cloud.__path__, "cloud."):
        if not module.name.startswith("cloud.migrations"):
            importlib.import_module(module.name)
    return {error.sentence for error in _subclasses(CloudError)}


def said_by_jobs() -> set[str]:
    return {job.what for job in JOBS}


def said_within() -> set[str]:
    """What jobs say they have done, and the words that errors fill into their sentences."""
    found = chain.from_iterable(
        extract_from_dir(folder, METHODS[:1], keywords={"Said": None}, directory_filter=_ours)
        for folder in (CLOUD, ROOT)
    )
    return {str(message) for _file, _line, message, _c, _x in found}


def _subclasses(error: type[CloudError]) -> Iterator[type[CloudError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _ours(folder: str) -> bool:
    return Path(folder).name not in {"static", "locale", "__pycache__"}
