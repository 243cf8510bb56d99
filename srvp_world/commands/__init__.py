"""The verbs of the command `srvp-world`, one module each."""
