"""The artifacts that the page was made from."""

import os
from collections.abc import Sequence
from typing import Any

from components.report.contents import Contents

TITLE = "Lineage"


def view(contents: Contents) -> dict[str, Any]:
    """`uri_root`: what all URIs begin with, said once."""
    return {"uri_root": shared_folder([one.uri for one in contents.lineage])}


def shared_folder(uris: Sequence[str]) -> str:
    """The folder that all of them are in, "" when there is none; commonpath would break s3://."""
    return os.path.commonprefix(uris).rpartition("/")[0]  # noqa: RUF071
