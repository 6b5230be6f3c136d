"""What `make run` does: opens the window, or, where there is no display, does the main job headless into out/."""

from __future__ import annotations

import os
import sys

from facelab.__main__ import main

has_display = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
if has_display:
    sys.exit(main([]))
print("No display here: doing the main job without a window.")
sys.exit(main(["demo", "out"]))
