"""Runs the proofs one after the other: ``python -m tests.evidence OUTDIR [NAME ...]``; all of them without a name.

Each writes its pictures and figures into OUTDIR/NAME. What was claimed, wanted and seen goes to the terminal and into
OUTDIR/summary.md; the exit code is 1 when a claim does not hold. What needs data that is not here is skipped and counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from facelab.engine.memory import keep_memory
from tests.evidence import (
    alignment,
    held_out,
    kills,
    known_factors,
    perceptual,
    photographs,
    portraits,
    self_inversion,
    zero_face,
)
from tests.evidence.claims import Claim, Skipped

PROOFS = (portraits, self_inversion, held_out, known_factors, alignment, perceptual, zero_face, photographs, kills)


def main() -> int:
    names = {proof.__name__.rpartition(".")[2]: proof for proof in PROOFS}
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for pictures and figures")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(names)}")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(names)):
        parser.error(f"no proof {unknown[0]!r}; there are {', '.join(names)}")
    keep_memory()
    rows: list[tuple[str, Claim]] = []
    skipped: list[str] = []
    for name in arguments.names or names:
        proof, started = names[name], time.process_time()
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{name}: {(proof.__doc__ or '').splitlines()[0]}", flush=True)
        try:
            claims = proof.prove(folder)
        except Skipped as reason:
            skipped.append(f"{name}: {reason}")
            print(f"  skipped: {reason}", flush=True)
            continue
        for claim in claims:
            rows.append((name, claim))
            print(f"  {claim}", flush=True)
        print(f"  {time.process_time() - started:.0f} s of CPU time, in {folder}", flush=True)
    lines = ["| proof | claim | wanted | seen | holds |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {c.text} | {c.wanted} | {c.seen} | {c.verdict} |" for name, c in rows]
    lines += [f"\nSkipped: {reason}" for reason in skipped]
    (arguments.out / "summary.md").write_text("\n".join(lines) + "\n")
    failed = sum(c.holds is False for _, c in rows)
    print(
        f"{len(rows)} figures, {failed} that fall short, {len(skipped)} proofs skipped; {arguments.out / 'summary.md'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
