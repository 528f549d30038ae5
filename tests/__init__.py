"""Tests, and what they start."""
