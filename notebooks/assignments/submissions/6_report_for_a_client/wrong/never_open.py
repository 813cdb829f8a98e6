"""Looks at the lower ends only, so that whatever is not shown counts as refuted.

caught: verdict_rule, verdict_borders
says: an interval has one end on either side
"""
# %% decide
def verdict(figures):
    holds = [figures["accuracy"][1] >= variant["minimum"], figures["gain"][1] >= variant["margin"],
             figures["latency_ms"] <= variant["latency_ms"], figures["megabytes"] <= variant["megabytes"]]
    return "ship" if all(holds) else "do not ship"
