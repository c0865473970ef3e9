"""Rendering of the page: from JSON and pictures to Markdown, HTML, LaTeX or typst, and PDF."""
