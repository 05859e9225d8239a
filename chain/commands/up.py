"""placeholder"""

HELP = ""


def describe(parser):
    pass


def run(parsed):
    return 0
