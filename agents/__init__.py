"""Agents that learn or plan inside the dream and act in reality."""
