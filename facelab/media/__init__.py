"""What leaves facelab for other programs: pictures that carry their recipe, videos, contact sheets. numpy, Pillow, PyAV; no torch."""
