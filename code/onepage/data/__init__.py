"""Where the data sets come from, what they must hash to, and the generated stand-ins.

sources (tables) -> fetch (download.py, archive.py, ready.py) -> data/<set>/ -> images and translation (the loaders).
toy_images and toy_translation generate the stand-ins. Import from the modules; this one stays empty, so that the
tables can be read where nothing but the standard library is installed.
"""
