"""Compares the values themselves with what is wanted, and never looks at their intervals.

caught: verdict_rule, verdict_borders
says: an interval has one end on either side
"""
# %% decide
def verdict(figures):
    good = figures["accuracy"][0] >= variant["minimum"] and figures["gain"][0] >= variant["margin"]
    cheap = figures["latency_ms"] <= variant["latency_ms"] and figures["megabytes"] <= variant["megabytes"]
    return "ship" if good and cheap else "do not ship"
