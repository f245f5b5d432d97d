"""One program a claim: each measures side by side in one run, prints ratios, and writes a JSON line."""
