"""The contract of noise and step tables, measured on every implementation: scripts/contract_table.py."""
