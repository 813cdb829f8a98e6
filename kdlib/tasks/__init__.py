"""Tasks beyond one label a text. Each module says only how its rows are encoded, which positions count, how answers are decoded and scored."""
