"""Our codecs, extrinsics and tries against other people's, at length: any difference ends it with an error.

    python -m bench.differential [--json FILE] [--edits N] [--cases N]

The tests in tests/differential are its short form. It needs the clients of `make clients`.
"""

import time

from bench.record import finish, parser
from tests.differential import test_codecs, test_extrinsics
from tests.differential.campaigns import edit_sequence
from tests.differential.samples import CALLS, METADATA, places, samples

BATCHES, LARGEST = 40, 120
"""batches in a sequence of edits, edits in a batch"""


def main() -> None:
    """Make the comparisons, and count them."""
    flags = parser(__doc__)
    flags.add_argument("--edits", type=int, default=100_000, metavar="N", help="edits of tries")
    flags.add_argument("--cases", type=int, default=2_000, metavar="N", help="values and extrinsics, each")
    given = flags.parse_args()
    started = time.monotonic()
    figures = {**tries(given.edits), **values(given.cases), **extrinsics(given.cases)}
    finish("differential", {**figures, "seconds": round(time.monotonic() - started)}, given)


def tries(edits: int) -> dict[str, int]:
    """Edit tries at random; every root and proof is the naive one's."""
    done = sequences = 0
    while done < edits:
        done += edit_sequence(sequences, batches=BATCHES, largest=LARGEST)
        sequences += 1
    return {"trie_edits": done, "trie_sequences": sequences, "trie_roots": sequences * BATCHES}


def values(cases: int) -> dict[str, int]:
    """Let every reader read about so many values: some types have few, and V14 describes fewer places."""
    rounds = -(-cases // (len(list(places())) + len(CALLS))) + 1
    listed = tuple(samples(rounds))
    return {
        "values_scalecodec": test_codecs.check_scalecodec(listed),
        "values_cyscale": test_codecs.check_cyscale(listed),
        **{f"values_polkadot_js_v{each}": test_codecs.check_polkadot_js(each, listed) for each in METADATA},
    }


def extrinsics(cases: int) -> dict[str, int]:
    """Let both writers sign and write about so many extrinsics."""
    listed = tuple(test_extrinsics.cases(-(-cases // len(CALLS)) + 1))
    return {
        "extrinsics_substrate_interface": test_extrinsics.check_substrate_interface(listed),
        **{
            f"extrinsics_polkadot_js_v{each}": test_extrinsics.check_polkadot_js(each, listed)
            for each in METADATA
        },
    }


if __name__ == "__main__":
    main()
