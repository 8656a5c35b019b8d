from plugin_shop import plugin_shop

__all__ = ["plugin_shop"]
