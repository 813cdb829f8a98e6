"""Asks for a gain above zero and forgets the margin that was agreed.

caught: verdict_rule
says: the whole interval of the gain lies below the margin
"""
# %% decide
def verdict(figures):
    bounds = [(figures["accuracy"], variant["minimum"]), (figures["gain"], 0)]
    if any(high < wanted for (_, _, high), wanted in bounds):
        return "do not ship"
    if figures["latency_ms"] > variant["latency_ms"] or figures["megabytes"] > variant["megabytes"]:
        return "do not ship"
    return "ship" if all(low >= wanted for (_, low, _), wanted in bounds) else "cannot tell"
