"""Graphs by a system of SDEs: node features and adjacency diffuse together."""
