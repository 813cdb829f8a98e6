"""Says "cannot tell" as soon as one interval is open, even where another requirement is broken for certain.

caught: verdict_rule
says: one is broken
"""
# %% decide
def verdict(figures):
    for name, wanted in (("accuracy", variant["minimum"]), ("gain", variant["margin"])):
        _, low, high = figures[name]
        if low < wanted <= high:
            return "cannot tell"
    good = figures["accuracy"][1] >= variant["minimum"] and figures["gain"][1] >= variant["margin"]
    cheap = all(figures[name] <= variant[name] for name in ("latency_ms", "megabytes"))
    return "ship" if good and cheap else "do not ship"
