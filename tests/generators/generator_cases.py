"""The generators that the contract is tested on, with options that make them quick."""

GENERATORS = {
    "markov": {"fewest_rows": 20},
}
