"""Networks and sampling loops of other projects, for `scripts/parity_peers.py`."""
