"""Reads "at least" and "at most" without the number itself.

caught: verdict_borders
says: is the number itself included?
"""
# %% decide
def verdict(figures):
    (_, low, high), (_, below, above) = figures["accuracy"], figures["gain"]
    if high < variant["minimum"] or above < variant["margin"]:
        return "do not ship"
    if figures["latency_ms"] >= variant["latency_ms"] or figures["megabytes"] >= variant["megabytes"]:
        return "do not ship"
    return "ship" if low > variant["minimum"] and below > variant["margin"] else "cannot tell"
