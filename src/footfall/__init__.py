"""Synthetic shoppers for search and recommendation teams."""
