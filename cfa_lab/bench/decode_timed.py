"""Read image files to network inputs and print the seconds; run by text, for any checkout.

Arguments: a folder with a folder for each kind, how many reads of each, input size. What it imports
is in every version since 0.1.
"""

import json
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import load_image


def main(folder: Path, count: int, size: int) -> dict[str, float]:
    """Seconds of the processor an image, by kind; a name may end in the bits that count."""
    found: dict[str, float] = {}
    kinds = {kind.name: sorted(kind.iterdir()) for kind in sorted(folder.iterdir())}
    known = {field.name for field in fields(Geometry)}
    for name, files in kinds.items():
        said: dict[str, Any] = {"resize": "stretch", "height": size, "width": size}
        if "bits" in known and "12 of 16" in name:
            said["bits"] = 12
        geometry = Geometry(**said)
        load_image(files[0], geometry)  # what is imported or compiled, once for all images
        began = time.process_time()
        for i in range(count):
            load_image(files[i % len(files)], geometry)
        found[name] = (time.process_time() - began) / count
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *map(int, sys.argv[2:4]))))
