"""What MVTec AD 2's benchmark server takes: maps and masks of its private test images."""

from cfa_lab.deploy.submission.command import main

__all__ = ["main"]
