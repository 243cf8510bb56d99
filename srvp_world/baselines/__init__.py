"""Other models behind the same protocol, to compare worlds with."""
