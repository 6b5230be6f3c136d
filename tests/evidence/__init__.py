"""Slow proofs of what facelab promises: ``python -m tests.evidence OUTDIR [NAME ...]``."""

import os

# As `facelab.__main__` does, and for its reason; torch loads after this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
