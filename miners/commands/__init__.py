"""The command lines of the programs of this room: read before what does the work is loaded."""
