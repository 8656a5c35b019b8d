"""The generators that the contract is tested on, with options that make them quick."""

GENERATORS = {
    "markov": {"fewest_rows": 20},
    "vae": {"fewest_rows": 20, "steps": 400, "batch_size": 256, "width": 64},
    "gan": {"fewest_rows": 20, "steps": 500, "batch_size": 256, "width": 64},
}
