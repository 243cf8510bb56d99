"""SRVP: encoder and decoder, inference, dynamics, heads, and the model that composes them."""
