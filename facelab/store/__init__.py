"""How a project lies in its file: the schema, the one thread that writes, values as columns. `facelab.project` says what lies there."""
