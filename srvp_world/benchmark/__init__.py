"""Protocols, published numbers and the tables that compare ours with them."""
