from export_shop import shop

__all__ = ["shop"]
