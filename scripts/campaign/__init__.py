"""What a week of hard use does to the command line, in some minutes: `python -m campaign`."""
