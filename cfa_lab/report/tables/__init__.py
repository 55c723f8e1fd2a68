"""The report as CSV, Parquet, Markdown and LaTeX."""
