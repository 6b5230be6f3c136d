"""Slow proofs of what facelab promises: ``python -m tests.evidence OUTDIR [NAME ...]``."""
