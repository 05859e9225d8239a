"""What the rooms of the node share without knowing each other; nothing here imports a room."""
