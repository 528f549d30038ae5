"""Mutation testing of what decides: one small change of the code at a time, and whether a test falls."""
