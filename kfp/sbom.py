"""Prints the image's bill of materials: CycloneDX 1.6 of the Python and Debian packages of where it runs.

python sbom.py NAME VERSION SITE_PACKAGES
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import Any
from urllib.parse import quote


def bill(name: str, version: str, site_packages: str) -> dict[str, Any]:
    """The document. It has no date and no number of its own: the same packages give the same bytes."""
    components = [*python_packages(site_packages), *debian_packages()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "version": version}},
        "components": sorted(components, key=lambda component: component["purl"]),
    }


def python_packages(site_packages: str) -> Iterator[dict[str, Any]]:
    for distribution in distributions(path=[site_packages]):
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        yield component(name, distribution.version, f"pkg:pypi/{name}@{quote(distribution.version)}") | licences(
            distribution
        )


def licences(distribution: Distribution) -> dict[str, Any]:
    """What a package declares: an SPDX expression, or else the classifiers' names, or else a line of its own."""
    if expression := distribution.metadata["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    classifiers = distribution.metadata.get_all("Classifier") or []
    names = sorted({line.split(" :: ")[-1] for line in classifiers if re.match("License :: .* :: ", line)})
    own = (distribution.metadata["License"] or "").strip()
    if not names and own and "\n" not in own:  # which may also be the licence's whole text
        names = [own]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def debian_packages() -> Iterator[dict[str, Any]]:
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\\n"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        name, version, architecture = line.split()
        yield component(name, version, f"pkg:deb/debian/{quote(name)}@{quote(version, safe=':')}?arch={architecture}")


def component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


if __name__ == "__main__":
    json.dump(bill(*sys.argv[1:]), sys.stdout, indent=1)
