"""A command of ours, then one line more: the most memory that it had on a GPU, in bytes."""

import json
import sys

import torch

from cfa_lab.cli import main

if __name__ == "__main__":
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    json.dump({"peak_device_bytes": peak}, sys.stdout)
