"""Environments on both sides: the dream of a world, and the real one that it learns from.

The real side: `pixels` turns any Gymnasium env into frames, `policies` acts at random in it,
`collect` plays episodes and records them.
"""
