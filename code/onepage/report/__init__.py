"""The page: JSON and pictures in, Markdown, LaTeX or typst, and PDF out."""
