"""A log in the formats that other libraries read: Parquet, RecBole, Hugging Face datasets."""

from footfall.simulator.log_export.export import EXPORT_FORMATS, ExportSummary, export_log
from footfall.simulator.log_export.huggingface import export_dataset

__all__ = ["EXPORT_FORMATS", "ExportSummary", "export_dataset", "export_log"]
