"""From a photograph to an aligned face: opening, detection, alignment, identity. numpy, Pillow, cv2 and dlib; no torch."""
