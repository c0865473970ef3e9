"""Where the data sets come from, what they must hash to, and the generated stand-ins."""
