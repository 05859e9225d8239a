"""The command line of the judge: read before what does the work is loaded."""
