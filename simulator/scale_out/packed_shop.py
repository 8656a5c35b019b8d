"""A shop on its way to the workers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from footfall.simulator.search import open_recommender, open_search
from footfall.simulator.shopper import Shop

__all__ = ["PackedShop"]


@dataclass(frozen=True, slots=True)
class PackedShop:
    """A shop that can be sent; where ``by_name``, without its search engine and recommender.

    ``search`` and ``recommender`` are the names that they were opened by.
    """

    shop: Shop
    search: str
    recommender: str
    by_name: bool = False

    def without_engines(self) -> PackedShop:
        """For engines that cannot be pickled: every worker opens them anew by their names."""
        nothing = cast(Any, None)
        bare = replace(self.shop, search=nothing, recommender=nothing)
        return replace(self, shop=bare, by_name=True)

    def open(self) -> Shop:
        """The shop as it was packed.

        Raises
        ------
        SettingError
            If this machine lacks the plug-in or object that a name means.
        """
        if not self.by_name:
            return self.shop
        catalog = self.shop.catalog
        return replace(
            self.shop,
            search=open_search(self.search, catalog),
            recommender=open_recommender(self.recommender, catalog),
        )
