"""Stress tests: a crowd of shoppers in front of a search engine or recommender."""
