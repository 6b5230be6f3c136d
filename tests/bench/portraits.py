"""Portraits: ``python -m tests.bench.portraits`` prints what drawing one and learning from one costs on this machine.

The renderer runs in a process of its own, as always. Training is timed with one thread and with two, on the shipped
size of network; pictures per second of wall clock and of processor time, since this machine may be busy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZE = 256  # of the generator that ships

_DRAW = """
import os, time
os.environ["LP_NUM_THREADS"] = "0"
os.environ["MESA_SHADER_CACHE_DISABLE"] = "true"
import numpy as np
from facelab.portraits.factors import K, values_from_y
from facelab.portraits.renderer import Renderer
values = values_from_y(np.random.default_rng(0).standard_normal((32, K)))
for size in (128, 256):
    renderer = Renderer(size)
    first = time.process_time()
    list(renderer.draw_all(values))
    again = time.process_time()
    list(renderer.draw_all(values))
    end = time.process_time()
    print(f"draw {size} px: {1e3 * (end - again) / len(values):.0f} ms of processor time a picture, "
          f"{again - first - (end - again):.0f} s once for compiling ({renderer.driver})")
"""


def main() -> None:
    """Print the table."""
    subprocess.run([sys.executable, "-c", _DRAW], check=True)
    from facelab.engine.memory import keep_memory

    keep_memory()
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the train command does
    import torch

    from facelab.portraits import dataset, training
    from facelab.portraits.factors import sample_phi
    from facelab.portraits.forward import fastest_precision

    precision = str(fastest_precision()).removeprefix("torch.")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, phi in (("held-out", dataset.held_out_phi(0)), ("chunk-00000", sample_phi(rng, 64))):
            dataset.write(folder / f"{file}.npz", phi, rng.integers(0, 255, (len(phi), SIZE, SIZE, 3)).astype(np.uint8))
        run = training.Run(folder / "run", folder, training.Plan(resolution=SIZE, precision=precision))
        batches = run.pictures.batches(rng, run.plan.batch)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            generator = torch.Generator().manual_seed(0)
            run.step(*next(batches), 1e-6, 0.0, generator)
            wall, cpu, steps = time.perf_counter(), time.process_time(), 12
            for _ in range(steps):
                run.step(*next(batches), 1e-6, 0.0, generator)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            seen = steps * run.plan.batch
            print(
                f"train {SIZE} px in {precision}, {threads} thread(s): {seen / wall:.1f} pictures/s, {1e3 * cpu / seen:.0f} ms of processor time each"
            )


if __name__ == "__main__":
    main()
