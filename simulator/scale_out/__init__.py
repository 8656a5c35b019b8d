"""Shoppers spread over a Ray cluster: shards of them go to workers, their visits come back."""

from footfall.simulator.scale_out.ray_crowd import RayCrowd
from footfall.simulator.scale_out.requirements import require_scalable
from footfall.simulator.scale_out.settings import RaySettings

__all__ = ["RayCrowd", "RaySettings", "require_scalable"]
