"""Commands of ``footfall`` by topic; :mod:`footfall.cli` registers them."""
