"""Engines of constant and not so constant memory, behind one signature: ours, torch's own, and other libraries'."""
